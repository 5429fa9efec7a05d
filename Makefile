# `make` lists what there is to do. Everything happens in .venv of this checkout; nothing else is installed or changed.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
WORKERS ?= 2
REPO ?=

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.dev ## .venv with the locked versions and Assay itself, editable
	@echo "Ready: $(BIN)/assay --help"

test: $(VENV)/.dev ## every test
	@$(BIN)/python -m pytest -q -n $(WORKERS)

lint: $(VENV)/.dev ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

demo: $(VENV)/.dev ## the story on three made-up repositories; REPO=path-or-URL: on yours
	@$(BIN)/python -m tests.flows.demo $(if $(REPO),--repo '$(REPO)')

bench: $(VENV)/.bench ## speed and memory as ratios; REPOS='PATH PATH ...': on those
	@$(BIN)/python -m bench.screen $(REPOS)

lock: ## new pinned versions (needs uv)
	@uv pip compile -q $(LOCK_FLAGS) --extra dev -o requirements/dev.txt pyproject.toml
	@uv pip compile -q $(LOCK_FLAGS) --extra dev --extra bench -o requirements/bench.txt pyproject.toml

clean: ## forget .venv, caches and the demo
	@rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info

LOCK_FLAGS := --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command 'make lock'
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Assay needs Python 3.11 or newer and found none: install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "$(PYTHON) is older than 3.11 (or no Python): make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version); this takes a minute, once." >&2
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian: apt install python3-venv)" >&2; exit 2; }

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.dev
	@$(PIP) install --require-hashes -r requirements/bench.txt
	@touch $@

.PHONY: help setup test lint demo bench lock clean
