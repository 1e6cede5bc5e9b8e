# Every target makes what it needs, .venv included: `make demo` and `make test` work on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := pyproject.toml CMakeLists.txt $(wildcard native/* native/*/*)
INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt \
  --build-constraint constraints.txt
DEMO := build/demo

.PHONY: setup demo test check bench before ordinary bench-torch race sweeps fuzz fuzz-tables sanitize mutants soak clean lock certificates explorer test-explorer pace-explorer works-with coverage oldest wheels tables

setup: $(VENV)/.dev

demo: $(VENV)/.runtime
	mkdir -p $(DEMO)
	$(BIN)/xent fit digits --output $(DEMO)/digits.xent
	$(BIN)/xent inspect $(DEMO)/digits.xent
	$(BIN)/xent predict $(DEMO)/digits.xent digits --output $(DEMO)/predictions.csv
	$(BIN)/python examples/plot_digits.py $(DEMO)/digits.xent $(DEMO)/digits.png
	@echo 'Next, with a table of your own:'
	@echo '  $(BIN)/xent fit TABLE.csv --target COLUMN -o model.xent'
	@echo '"source $(BIN)/activate" makes that "xent fit ...".'

test: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses 2

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet tests/house/test_layers.py

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.passes --json docs/figures/passes.json --plot docs/figures/passes.svg
	$(BIN)/python -m benchmarks.optimum

# Some ten minutes on an idle machine; ORDINARY="--parts fit --most 1e5" for some of it.
ordinary: $(VENV)/.dev
	$(BIN)/python -m benchmarks.ordinary --json docs/figures/ordinary.json $(ORDINARY)

# `xent fit` on some eighty tables beside scikit-learn's recipe; TABLES="--only iris,pbc --splits 2" for some.
tables: $(VENV)/.tables
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.tables --json docs/figures/tables.json $(TABLES)

bench-torch: $(VENV)/.dev
	$(BIN)/python -m benchmarks.torch_losses --json docs/figures/torch.json

# The same passes and fits by the build of another commit, in turns: make before COMMIT=v0.1.0 BEFORE="--only iris".
before: $(VENV)/.dev
	$(BIN)/python -m benchmarks.before $(COMMIT) $(BEFORE)

# Some hours, fewer with RACE="--limit 60"; a race that was interrupted goes on with RACE=--resume.
race: $(VENV)/.race build/adelie/.installed
	$(BIN)/python -m benchmarks.race --json docs/figures/race.json --plot docs/figures/race.svg $(RACE)

# Some hours, R and r-cran-glmnet for one part of four; in pieces with SWEEPS="--resume --parts sparse".
sweeps: $(VENV)/.dev
	$(BIN)/python -m benchmarks.sweeps --json docs/figures/sweeps.json $(SWEEPS)

# A million random calls into the kernels; FUZZ="--calls 20000 --seed 7" for others.
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.programs.fuzz_kernels $(FUZZ)

# 5000 random tables whose truth is known, from file to prediction; FUZZ_TABLES="--files 500 --seed 7" for others.
fuzz-tables: $(VENV)/.dev
	$(BIN)/python -m tests.programs.fuzz_tables $(FUZZ_TABLES)

# The kernels' tests and 50000 such calls under ASan and UBSan, then under TSan: see CONTRIBUTING.md.
sanitize: $(VENV)/.dev
	tests/programs/sanitize.sh address
	tests/programs/sanitize.sh thread

# Every certificate on 10000 random problems whose optimum is known; CERTIFICATES="--problems 500 --seed 7" for others.
certificates: $(VENV)/.dev
	$(BIN)/python -m tests.programs.many_certificates $(CERTIFICATES)

# Breakages made on purpose, each of which must turn a test red.
mutants: $(VENV)/.dev
	$(BIN)/python -m tests.programs.mutants

# A million-row fit, interrupted and killed 50 times; SOAK="--times 100 --seed 7" for others.
soak: $(VENV)/.dev
	$(BIN)/python -m tests.programs.soak_interrupt $(SOAK)

# The page that `xent explore` opens: one file, src/xent/explorer/index.html, which a wheel built after it carries.
explorer: $(VENV)/.explorer
	$(BIN)/python explorer/npm.py ci
	$(BIN)/python explorer/make_data.py
	$(BIN)/python explorer/npm.py run check
	$(BIN)/python explorer/npm.py test
	$(BIN)/python explorer/npm.py run build

# The page in a browser; needs Chromium.
test-explorer: explorer $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses 2 tests/explorer

# 60 frames a second while one drags; wants the machine to itself.
pace-explorer: explorer $(VENV)/.dev
	$(BIN)/python -m pytest tests/explorer -k sixty

# How much of src the tests run, in per cent: those that COVERAGE names, or all of them.
coverage: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses 2 --quiet --cov --cov-report=term:skip-covered $(COVERAGE)

# Sdist and wheels in dist/, tried with every Python from 3.11 on that is here; a quarter of an hour.
wheels: explorer $(VENV)/.release
	$(BIN)/python -m tools.wheels

# The fast tests with the oldest versions that pyproject.toml allows, and with the newest; ten minutes.
oldest: $(VENV)/.dev
	$(BIN)/python -m tools.oldest $(OLDEST)

clean:
	rm -rf $(VENV) build dist explorer/node_modules explorer/src/generated src/xent/explorer

$(VENV)/.uv:
	@echo 'First time: xent goes into $(VENV) and its kernels are compiled, 1 to 2 minutes.'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	touch $@

# What the demo runs on: xent, its command and matplotlib.
$(VENV)/.runtime: $(VENV)/.uv constraints.txt $(NATIVE)
	@echo 'Compiling the kernels ...'
	$(INSTALL) --editable '.[cli,plot]'
	touch $@

# What the tests need besides. PyTorch comes through pip and by its exact version: that resolves to the
# CPU build where one is on hand.
$(VENV)/.dev: $(VENV)/.runtime
	$(INSTALL) --group dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	touch $@

# Node and what drives a browser.
$(VENV)/.explorer: $(VENV)/.runtime
	$(INSTALL) --group explorer
	touch $@

# What looks wheels over.
$(VENV)/.release: $(VENV)/.runtime
	$(INSTALL) --group release
	touch $@

# The peers that only the race needs.
$(VENV)/.race: $(VENV)/.dev
	$(INSTALL) --group race
	touch $@

# A peer that requires NumPy 1, in an environment of its own; where it does not install, the race says so.
build/adelie/.installed: $(VENV)/.uv
	$(PYTHON) -m venv build/adelie
	grep -v '^numpy==' constraints.txt | $(BIN)/uv pip install --quiet --compile-bytecode \
	  --python build/adelie/bin/python --only-binary :all: --constraint - adelie==1.1.52 numpy==1.26.4 \
	  && touch $@ || { rm -r build/adelie; echo 'adelie does not install: the race goes without it'; }

# The packages that the tables come in.
$(VENV)/.tables: $(VENV)/.dev
	$(INSTALL) --group tables
	touch $@

# What docs/works-with.md says of libraries that the tests do without, in an environment that has them.
works-with: $(VENV)/.uv
	$(PYTHON) -m venv build/works-with
	$(subst $(BIN)/python,build/works-with/bin/python,$(INSTALL)) '.[cli,plot]' pytest \
	  mlflow-skinny sqlalchemy alembic onnxruntime polars shap skl2onnx
	build/works-with/bin/python -m pytest --noconftest tests/house/test_works_with.py -k 'MLflow or ONNX or polars or shap'

# After a change of dependencies: pins everything that pyproject.toml asks for, but for PyTorch itself.
lock: $(VENV)/.uv
	echo 'mpmath<1.4' | $(BIN)/uv pip compile --quiet --upgrade --extra cli --extra plot --group dev --group race --group tables --group explorer --group release pyproject.toml \
	  --constraint - --no-header --no-annotate --output-file constraints.txt
	printf '%s==%s\n' uv 0.13.8 filelock 4.2.11 fsspec 2026.9.0 networkx 3.6.1 sympy 1.14.0 >> constraints.txt
