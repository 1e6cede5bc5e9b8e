# One path of glmnet for benchmarks/sweeps/glmnet.py, which says what the files hold:
#   Rscript sweep_glmnet.R DATA OUT alpha thresh type.multinomial nlambda
# OUT/lambda, if there, holds the values of lambda. What is timed is the call of glmnet alone.
args <- commandArgs(TRUE)
suppressMessages({library(Matrix); library(glmnet)})

get <- function(folder, name, what, n) {
  path <- file.path(folder, name)
  readBin(path, what, n, size = if (what == "integer") 4 else 8)
}
put <- function(values, name) {
  file <- file(file.path(args[2], name), "wb")
  writeBin(values, file)
  close(file)
}

dims <- get(args[1], "dims", "integer", 3)  # n, d, number of values of sparse X or 0
if (dims[3] > 0) {
  X <- new("dgCMatrix", i = get(args[1], "i", "integer", dims[3]), p = get(args[1], "p", "integer", dims[2] + 1),
           x = get(args[1], "x", "double", dims[3]), Dim = dims[1:2])
} else {
  X <- matrix(get(args[1], "x", "double", as.double(dims[1]) * dims[2]), dims[1], dims[2])
}
y <- factor(get(args[1], "y", "integer", dims[1]))
lambda <- NULL
given <- file.path(args[2], "lambda")
if (file.exists(given)) lambda <- readBin(given, "double", file.size(given) / 8)

path <- function(X, y, ...) {
  glmnet(X, y, family = "multinomial", standardize = FALSE, alpha = as.numeric(args[3]),
         thresh = as.numeric(args[4]), type.multinomial = args[5], maxit = 1e9, ...)
}
set.seed(0)
invisible(path(matrix(rnorm(180), 60, 3), factor(rep(1:3, 20)), nlambda = 5))  # loads what is loaded late
took <- system.time(fit <- path(X, y, nlambda = as.integer(args[6]), lambda = lambda))[["elapsed"]]

put(c(took, fit$npasses, fit$jerr), "said")
put(as.double(fit$lambda), "lambda")
put(as.double(fit$a0), "a0")  # (K, values), columns first
for (k in seq_along(fit$beta)) {
  beta <- as(fit$beta[[k]], "dgCMatrix")  # (d, values)
  put(beta@i, paste0("i", k))
  put(beta@p, paste0("p", k))
  put(beta@x, paste0("x", k))
}
