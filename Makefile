# `make demo` runs the main job; `make test` runs the tests. Every target sets up what it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.complete
AIRFLOW_PORT ?= 8080
MLFLOW_PORT ?= 5000
DATA ?=
SCHEMA ?=
DEMO_OPTIONS ?=
AS_OF ?= 2026-09-24
PEERS_ROOT ?=
THREADS ?= 1
ROUNDS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup demo up down repro test test-sharding e2e check bench-loader bench-train bench-peers bench-gpu lock clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 16

setup: $(SETUP) ## the virtual environment, from requirements.txt

$(SETUP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned requirements into $(VENV) (about 3 minutes, 2.5 GB, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(SETUP) ## the whole loop under a real Airflow (DATA=folder SCHEMA=file.yaml for your own log)
	@$(BIN)/python -m mmoe.demo run --airflow-port $(AIRFLOW_PORT) $(if $(DATA),--data "$(DATA)") $(if $(SCHEMA),--schema "$(SCHEMA)") $(DEMO_OPTIONS)

up: $(SETUP) ## start Airflow's UI and MLflow's in the background on what the demo left
	@$(BIN)/python -m mmoe.demo up --airflow-port $(AIRFLOW_PORT) --mlflow-port $(MLFLOW_PORT)

down: $(SETUP) ## stop them
	@$(BIN)/python -m mmoe.demo down

repro: $(SETUP) ## the same steps without Airflow, on what the demo left: pin the window as of AS_OF, dvc repro
	@export MMOE_HOME=$(CURDIR)/var/demo PATH="$(CURDIR)/$(BIN):$$PATH" && mmoe pin --as-of $(AS_OF) && dvc repro

test: $(SETUP) ## the tests, in parallel
	@$(BIN)/python -m pytest -n auto --dist loadfile -m "not e2e and not ceph and not gpu"

test-sharding: $(SETUP) ## tests of sharded tables: TorchRec in an environment of its own that sees .venv
	@$(PYTHON) -m venv var/sharding
	@echo "$(CURDIR)/$(VENV)/lib/python3.11/site-packages" > var/sharding/lib/python3.11/site-packages/venv.pth
	@var/sharding/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-sharding.txt
	@PYTHONPATH=. var/sharding/bin/python -m pytest tests/train/test_distributed.py -k sharded

e2e: $(SETUP) ## the slow tests: a real object store, a real Airflow, a real browser
	@npm install --silent --no-audit --no-fund --prefix var/axe axe-core@4.14.1 || echo "axe-core is not here: its tests are skipped"
	@$(BIN)/python -m pytest -n auto --dist loadfile -m "ceph and not e2e"
	@$(BIN)/python -m pytest -m e2e
	@test ! -x var/sharding/bin/python || PYTHONPATH=. var/sharding/bin/python -m pytest tests/e2e/test_two_processes.py -k sharded

check: $(SETUP) ## ruff, mypy strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports

bench-loader: $(SETUP) ## rows a second of the loader alone
	@OMP_NUM_THREADS=$(THREADS) $(BIN)/python -m mmoe bench loader

bench-train: $(SETUP) ## examples a second and AUC on the peers' workload in PEERS_ROOT, on THREADS threads
	@OMP_NUM_THREADS=$(THREADS) $(BIN)/python -m mmoe bench train --peers-root "$(PEERS_ROOT)" --threads $(THREADS)

bench-peers: $(SETUP) ## the same beside the peers that are installed there, in ROUNDS paired rounds
	@OMP_NUM_THREADS=$(THREADS) $(BIN)/python -m mmoe bench peers --peers-root "$(PEERS_ROOT)" --threads $(THREADS) --rounds $(ROUNDS)

bench-gpu: $(SETUP) ## a GPU beside the CPU: equal results, examples a second over what its arithmetic allows
	@$(BIN)/python -m mmoe bench gpu

lock: ## resolve requirements.in into requirements.txt with uv
	@$(PYTHON) -m venv var/lock && var/lock/bin/pip install --quiet uv
	@var/lock/bin/uv pip compile --quiet --python-version 3.11 --no-header $(if $(PIP_FIND_LINKS),--find-links "$(PIP_FIND_LINKS)") requirements.in \
	  | grep -v -e '^--find-links' | sed -e 's/^torch==\(.*\)+cpu/torch==\1/' > var/requirements.txt
	@mv var/requirements.txt requirements.txt

clean: ## remove the virtual environment and everything under var/
	@test ! -x $(BIN)/python || $(BIN)/python -m mmoe.demo down 2>/dev/null || true
	@rm -rf $(VENV) var
