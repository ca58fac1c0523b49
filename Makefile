# Python >= 3.11 and make are all that a fresh machine needs. Each target sets up what it needs.
PYTHON ?= python3
VENV   := .venv
JOBS   ?= 4
BIN    := $(VENV)/bin

.PHONY: demo test soak static check fix bench lock clean
.DEFAULT_GOAL := help

help:            ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/'

$(VENV)/runtime: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name another with: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q gateway
	@touch $@

$(VENV)/development: $(VENV)/runtime tests/requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r tests/requirements.lock
	@touch $@

demo: $(VENV)/runtime          ## the whole thing on this machine, with sample data; stays up (ONCE=1 exits after the tour)
	@$(BIN)/residency-gateway demo $(if $(ONCE),--once)

test: $(VENV)/development      ## every test
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder

soak: $(VENV)/development      ## damaged input by the ten thousand, and a thousand kills; SOAK=100 tries a hundred times as much, SEED=… repeats a run
	@SOAK=$(or $(SOAK),1) SEED=$(or $(SEED),0) $(BIN)/python -m pytest -s -p no:randomly tests/fuzz tests/integration/test_kills.py

static: $(VENV)/development    ## format, lint, types, imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: $(VENV)/development     ## all of these, and the tests beside them
	@$(MAKE) --no-print-directory -j2 static test

fix: $(VENV)/development       ## mend what can be mended by itself
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/development     ## figures, side by side in one run
	@for bench in tests/bench/bench_*.py; do echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

lock: $(VENV)/development      ## write the lock files anew
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements.lock pyproject.toml --group pyproject.toml:build
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -o tests/requirements.lock pyproject.toml --group pyproject.toml:dev

clean:           ## remove what these targets made
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
