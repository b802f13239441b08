# Each target works as the first command typed on a fresh Debian machine with Python 3.11, python3-venv and make.
# A stamp file in .venv says which lock file its packages came from; a newer lock installs again.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(firstword $(wildcard /usr/bin/python3.11) python3.11)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
STEP := scripts/step
PYTEST := pytest --numprocesses 2 --dist loadfile
SOURCES := gateway backends tests scripts/docs.py

.PHONY: help setup dev run test check format proof bench bench-scale chaos fuzz docs lock clean

help:  ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/.run-ready  ## Make .venv with trtllm-gateway in it
	@echo "Ready: $(BIN)/trtllm-gateway --help"

run: $(VENV)/.run-ready  ## Start the demo on http://127.0.0.1:8080 (make run ARGS="--port 9000")
	@exec $(BIN)/trtllm-gateway serve --demo $(ARGS)

test: dev  ## Run all tests (make test ARGS="-k relay")
	@$(BIN)/$(PYTEST) $(ARGS)

check: dev  ## Format, lint, types, imports, all tests, coverage: what CI runs
	@$(STEP) "Format" $(BIN)/ruff format --check $(SOURCES)
	@$(STEP) "Lint" $(BIN)/ruff check $(SOURCES)
	@$(STEP) "Types" $(BIN)/mypy
	@$(STEP) "Types of scripts" $(BIN)/mypy --no-error-summary -m scripts.docs -m tests.bench.__main__
	@$(STEP) "Imports" $(BIN)/lint-imports
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m $(PYTEST) $(ARGS)
	@$(STEP) "Coverage data" $(BIN)/coverage combine --quiet
	@$(STEP) "Coverage of gateway/core: 100 %" $(BIN)/coverage report --include='gateway/core/*' --fail-under=100
	@$(STEP) "Coverage of all: 95 %" $(BIN)/coverage report --fail-under=95

format: dev  ## Format the sources and apply the lint's safe fixes
	@$(BIN)/ruff check --fix --quiet $(SOURCES) || true
	@$(BIN)/ruff format $(SOURCES)

proof: dev $(VENV)/.fuzz-ready  ## Run the long tests and keep what they measure in docs/figures
	@$(BIN)/pytest -m "proof or figures" --numprocesses 0 --figures=docs/figures $(ARGS)

bench: $(VENV)/.run-ready  ## Measure the data plane beside nginx (make bench ARGS="--rounds 5 --figures docs/figures")
	@$(BIN)/python -m tests.bench compare $(ARGS)

bench-scale: $(VENV)/.run-ready  ## Measure 1, 2, 4 ... workers, each on a core of its own (make bench-scale ARGS="--workers 1,2")
	@$(BIN)/python -m tests.bench scale $(ARGS)

chaos: dev  ## Let replicas fail at random under a real gateway (make chaos ARGS="--seed 7 --streams 2000")
	@$(BIN)/python -m tests.chaos $(ARGS)

fuzz: dev $(VENV)/.fuzz-ready  ## Fuzz the parsers by coverage (make fuzz ARGS="--target sse --seconds 60")
	@$(BIN)/python -m tests.fuzz $(ARGS)

docs: dev  ## Write the generated pages of docs/ again
	@$(BIN)/python scripts/docs.py
	@$(BIN)/python -m tests.bench page

lock:  ## Write the lock files again (make lock ARGS=--upgrade takes newest versions)
	@scripts/lock $(ARGS)

clean:  ## Remove all that make has made
	@rm -rf $(VENV) .sdk .fuzz tests/sdk/node/node_modules .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

dev: $(VENV)/.dev-ready
	@scripts/apt-packages --check 2>/dev/null || $(STEP) "Debian packages for tests" scripts/apt-packages
	@scripts/sdk-clients --check 2>/dev/null || $(STEP) "OpenAI clients for tests" scripts/sdk-clients

$(BIN)/pip:
	@scripts/python-ready $(PYTHON)
	@$(STEP) "Virtual environment" $(PYTHON) -m venv $(VENV)

$(VENV)/.run-ready: requirements/run.txt requirements/build.txt pyproject.toml | $(BIN)/pip
	@$(STEP) "Packages to run" $(PIP) --require-hashes -r requirements/run.txt -r requirements/build.txt
	@$(STEP) "trtllm-gateway" $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# Where there is no wheel of it, the tests that need it say so.
$(VENV)/.fuzz-ready: requirements/fuzz.txt $(VENV)/.dev-ready
	@$(STEP) "Fuzzer" $(PIP) --require-hashes --only-binary :all: -r requirements/fuzz.txt || true
	@touch $@

$(VENV)/.dev-ready: requirements/dev.txt $(VENV)/.run-ready
	@$(STEP) "Packages to test" $(PIP) --require-hashes -r requirements/dev.txt
	@touch $@
