/** The regularised loss of a batch, L = (1/N) Σ ℓ_i + ½ reg ‖W‖² with W (K, D) and X (N, D): in loops, and
 *  on whole matrices. The same formulas as xent.reference.softmax_loss_loops and softmax_loss. */
import { crossEntropy, crossEntropyGradient } from './losses';
import { plus, square, timesTransposed, transposed } from './matrix';
import { logSoftmax, oneHot, softmax, sum } from './softmax';

/** N = 4 rows, D = 2 features, K = 7 classes: drawn by np.random.RandomState(0).randn, rounded to hundredths,
 *  in this order; V is a direction in which W may move. */
export const BATCH = {
  X: [
    [1.76, 0.4],
    [0.98, 2.24],
    [1.87, -0.98],
    [0.95, -0.15],
  ],
  W: [
    [-0.1, 0.41],
    [0.14, 1.45],
    [0.76, 0.12],
    [0.44, 0.33],
    [1.49, -0.21],
    [0.31, -0.85],
    [-2.55, 0.65],
  ],
  V: [
    [0.86, -0.74],
    [2.27, -1.45],
    [0.05, -0.19],
    [1.53, 1.47],
    [0.15, 0.38],
    [-0.89, -1.98],
    [-0.35, 0.16],
  ],
  y: [1, 3, 5, 0],
};

export const penalty = (W: number[][], reg: number): number => 0.5 * reg * square(W);

/** On whole matrices: the data's loss Σ s_i ℓ_i, P, P − Y and the gradient of L; every s_i is 1/N unless given. */
export function softmaxLoss(
  W: number[][],
  X: number[][],
  y: number[],
  reg: number,
  s: number[] = X.map(() => 1 / X.length),
) {
  const Z = timesTransposed(X, W);
  const P = Z.map((z) => softmax(z));
  const errors = Z.map((z, i) => crossEntropyGradient(z, y[i]));
  const data = sum(Z.map((z, i) => s[i] * crossEntropy(z, y[i])));
  const G = errors.map((row, i) => row.map((v) => s[i] * v));
  const dW = plus(reg, W, timesTransposed(transposed(G), transposed(X)));
  return { P, errors, data, loss: data + penalty(W, reg), dW };
}

/** The loops over rows and classes, halted after `steps` of their N · K steps; the penalty comes last, as one
 *  step more. Returns what they have made so far, and the row and class of the step that came last. */
export function softmaxLossLoops(W: number[][], X: number[][], y: number[], reg: number, steps: number) {
  const [N, K, D] = [X.length, W.length, X[0].length];
  const dW = W.map((row) => row.map(() => 0));
  let loss = 0;
  let done = 0;
  let last: { i: number; k: number; error: number } | undefined;
  for (let i = 0; i < N && done < steps; i++) {
    const z = W.map((row) => {
      let score = 0;
      for (let d = 0; d < D; d++) score += row[d] * X[i][d];
      return score;
    });
    const logP = logSoftmax(z);
    loss -= logP[y[i]] / N;
    for (let k = 0; k < K && done < steps; k++) {
      const error = Math.exp(logP[k]) - oneHot(y[i], K)[k];
      for (let d = 0; d < D; d++) dW[k][d] += (error * X[i][d]) / N;
      last = { i, k, error };
      done++;
    }
  }
  const ended = done < steps;
  if (ended) {
    loss += penalty(W, reg);
    for (let k = 0; k < K; k++) for (let d = 0; d < D; d++) dW[k][d] += reg * W[k][d];
  }
  return { loss, dW, last, ended };
}
