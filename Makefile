# Both commands do all their own set-up; they need Python 3.11 or newer and make.
PYTHON ?= python3
PORT ?= 3000
VENV := .venv
BIN := $(VENV)/bin
export BENTOML_DO_NOT_TRACK ?= True
export MLFLOW_DISABLE_TELEMETRY ?= true

.PHONY: demo test mlflow clean

demo: $(VENV)/demo  ## The Complete Journey, from the log to a running service on port $(PORT)
	$(BIN)/python -m training demo --port $(PORT)

test: $(VENV)/test  ## Lint, types, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

mlflow: $(VENV)/demo  ## The tracking UI
	$(BIN)/python -m training ui

clean:  ## Remove the environment; run-time data in var/ stays
	rm -rf $(VENV)

$(VENV)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Attune needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	touch $@

$(VENV)/demo $(VENV)/test: $(VENV)/uv pyproject.toml constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[$(notdir $@)]"
	@# what is compiled on first use is so before: where Python may not write bytecode, every start would do it anew
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c 'import duckdb, features.__main__, serving.__main__, serving.application'
	touch $@
