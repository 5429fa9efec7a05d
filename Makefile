# `make` lists what there is to do. Everything happens in .venv of this checkout; nothing else is installed or changed.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
NPM := .npm
WORKERS ?= 2
TORCH ?= torch==2.13.0
REPO ?=

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.dev ## .venv with the locked versions and Assay itself, editable
	@echo "Ready: $(BIN)/assay --help"

setup-finetune: $(VENV)/.finetune ## what fine-tuning needs, too (torch: TORCH=torch==VERSION)
	@echo "Ready: $(BIN)/assay finetune --help"

test: $(VENV)/.dev ## every test that needs nothing but Python, git and make
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m 'not faults and not services and not contract and not browser and not finetune'

test-faults: $(VENV)/.dev ## long outages, and whatever starts, kills or restarts processes of Assay; needs nothing else
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m 'faults and not services and not finetune'

test-services: $(VENV)/.dev ## on real PostgreSQL and Redis servers (ASSAY_TEST_POSTGRES_URL, ASSAY_TEST_REDIS_URL)
	@$(BIN)/python -m pytest -q -n $(WORKERS) -m services

test-contract: $(VENV)/.dev $(NPM)/.installed ## against GitHub's own descriptions and example deliveries (npm)
	@ASSAY_TEST_NPM=$(NPM) $(BIN)/python -m pytest -q -n $(WORKERS) -m contract

test-browser: $(VENV)/.browser ## the set-up clicked through in Debian's chromium
	@command -v chromium chromium-browser google-chrome >/dev/null || { echo "make test-browser needs chromium (Debian: apt install chromium)" >&2; exit 2; }
	@$(BIN)/python -m pytest -q -m browser

test-finetune: $(VENV)/.finetune ## fine-tuning with tiny models made on the spot (torch: TORCH=torch==VERSION)
	@$(BIN)/python -m pytest -q -n $(WORKERS) -m finetune

lint: $(VENV)/.dev ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

demo: $(if $(REPO),$(VENV)/.dev,$(VENV)/.finetune) ## the whole story on made-up repositories; REPO=path-or-URL: screen yours
	@$(BIN)/python -m tests.flows.demo $(if $(REPO),--repo '$(REPO)')

run: $(VENV)/.dev ## the App itself, on embedded defaults; HOST=, PORT=
	@$(BIN)/assay up $(if $(HOST),--host '$(HOST)') $(if $(PORT),--port '$(PORT)')

pictures: $(VENV)/.browser ## docs/pictures again, from the demo's history and the committed figures (needs chromium)
	@$(BIN)/python -m tests.flows.pictures

bench: $(VENV)/.bench ## speed and memory as ratios; REPOS='PATH PATH ...': of screening those, too
	@$(BIN)/python -m bench.receiver
	@$(BIN)/python -m bench.installation
	@$(if $(REPOS),$(BIN)/python -m bench.screen $(REPOS),echo "Name clones to measure screening on: make bench REPOS='PATH PATH PATH'")

bench-labels: $(VENV)/.dev ## labels against those of others: TRUTH=DIR with commits.jsonl, REPOS=DIR of clones
	@$(BIN)/python -m bench.labels $(if $(TRUTH),--truth '$(TRUTH)') $(if $(REPOS),--repos '$(REPOS)')

bench-gpu: $(VENV)/.finetune ## speed of fine-tuning on an NVIDIA GPU: PAIRS='FILE FILE FILE', BASE_MODEL=DIR
	@$(BIN)/python -m bench.gpu $(PAIRS) $(if $(BASE_MODEL),--base-model '$(BASE_MODEL)')

reproduce-table: $(VENV)/.finetune ## fine-tune on clones of the published table: REPOS=DIR BASE_MODEL=DIR, ONLY=, SEEDS=, MAX_TOKENS=
	@$(BIN)/python -m bench.reproduce_table '$(REPOS)' --base-model '$(BASE_MODEL)' $(foreach name,$(ONLY),--only '$(name)') \
		$(if $(SEEDS),--seeds '$(SEEDS)') $(if $(MAX_TOKENS),--max-tokens '$(MAX_TOKENS)')

lock: ## new pinned versions (needs uv)
	@uv pip compile -q $(LOCK_FLAGS) -o requirements/dev.txt pyproject.toml
	@uv pip compile -q $(LOCK_FLAGS) --extra bench -o requirements/bench.txt pyproject.toml
	@uv pip compile -q $(LOCK_FLAGS) --extra browser -o requirements/browser.txt pyproject.toml
	@echo "torch; python_version < '3'" | uv pip compile -q $(LOCK_FLAGS) --extra finetune --override - -o requirements/finetune.txt pyproject.toml

clean: ## forget .venv, caches and the demo
	@rm -rf $(VENV) $(NPM) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info

# pip wants a library that is asked for with extras to be locked with them, when it checks hashes.
LOCK_FLAGS := --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-strip-extras \
	--custom-compile-command 'make lock' --extra dev --extra embedded --extra prod
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

$(VENV)/.browser: requirements/browser.txt $(VENV)/.dev
	@$(PIP) install --require-hashes -r requirements/browser.txt
	@touch $@

# Which build of torch fits is the machine's affair, so it alone is not locked by hash.
$(VENV)/.finetune: requirements/finetune.txt $(VENV)/.dev
	@$(PIP) install '$(TORCH)'
	@$(PIP) install --require-hashes --no-deps -r requirements/finetune.txt
	@touch $@

$(NPM)/.installed: tests/contract/package.json tests/contract/package-lock.json
	@command -v npm >/dev/null || { echo "make test-contract needs npm (Debian: apt install npm)" >&2; exit 2; }
	@mkdir -p $(NPM) && cp tests/contract/package.json tests/contract/package-lock.json $(NPM)/
	@npm ci --prefix $(NPM) --loglevel=error --no-audit --no-fund --ignore-scripts
	@touch $@

.PHONY: help setup setup-finetune test test-faults test-services test-contract test-browser test-finetune lint demo run pictures bench bench-labels bench-gpu reproduce-table lock clean
