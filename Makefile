# Everything that is done with this repository. On a fresh machine: `make run`, or `make test`.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first Python that works, from 3.11 on; one of 3.11 to 3.13 before 3.14, which has no wheel of the embedded
# MongoDB-protocol server.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$python; exit; }; \
	done; echo python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet
UV_VERSION := 0.13.9
LOCK := $(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate $(LOCK_FLAGS)
PYTEST_FLAGS ?=

.PHONY: help
help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'

# -- environment ----------------------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is %s; set PYTHON=" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

# What `make run` needs. A stamp, so that it is done again only when the lock has changed.
$(VENV)/run.stamp: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements/dev.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/test.stamp: requirements/test.txt pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements/test.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $(VENV)/run.stamp $@

.PHONY: venv
venv: $(VENV)/test.stamp ## make .venv with everything, as locked

.PHONY: lock
lock: | $(BIN)/python ## resolve the dependencies anew and write requirements/ (LOCK_FLAGS=--upgrade for the newest)
	test -x $(VENV)/lock/bin/uv || { $(BIN)/python -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet uv==$(UV_VERSION); }
	$(LOCK) --group build -o requirements/build.txt
	$(LOCK) --group web -o requirements/web.txt
	$(LOCK) pyproject.toml -o requirements/base.txt
	$(LOCK) pyproject.toml --group build --extra dev -c requirements/base.txt -o requirements/dev.txt
	$(LOCK) pyproject.toml --group build --group test --extra dev -c requirements/dev.txt -o requirements/test.txt

# -- dashboard ------------------------------------------------------------------------------------------------------

WEB_BUILT := services/laneway/api/dashboard/files/index.html
WEB_SOURCES := $(shell find web -path web/node_modules -prune -o -type f -print)

web/node_modules/.package-lock.json: web/package-lock.json web/package.json web/.npmrc | $(BIN)/python
	web/npm ci --no-progress --silent
	@touch $@

$(WEB_BUILT): web/node_modules/.package-lock.json $(WEB_SOURCES)
	web/npm run --silent build

.PHONY: web
web: $(WEB_BUILT) ## build the dashboard, with this machine's Node or the wheel's

# Types of the API's answers, for the editor and svelte-check; the build needs none.
web/src/api/schema.ts: $(VENV)/run.stamp web/node_modules/.package-lock.json web/openapi.py $(shell find services/laneway/api -name '*.py')
	$(BIN)/python web/openapi.py > web/openapi.json
	web/npm exec --silent -- openapi-typescript web/openapi.json --output $@ >/dev/null
	@rm web/openapi.json

.PHONY: web-check
web-check: web/src/api/schema.ts ## lint, types and unit tests of the dashboard
	web/npm run --silent lint
	web/npm run --silent check
	web/npm run --silent test

# -- run ------------------------------------------------------------------------------------------------------------

.PHONY: run
run: $(VENV)/run.stamp ## start everything on this machine; Ctrl-C stops it
	@$(MAKE) --no-print-directory web || echo "The dashboard could not be built; all else works."
	@exec $(BIN)/laneway dev

.PHONY: demo
demo: $(VENV)/run.stamp ## 20 users send 1,000 requests to the running system, and every result is checked
	@exec $(BIN)/python -m bench.demo

# -- check ----------------------------------------------------------------------------------------------------------

.PHONY: test
test: lint ## lint, types, import rules and all tests but the slow suites (cluster, faults, image, node, browser)
	$(BIN)/python -m pytest --ignore=tests/cluster --ignore=tests/faults --ignore=tests/image --ignore=tests/node --ignore=tests/browser $(PYTEST_FLAGS)

.PHONY: lint
lint: $(VENV)/test.stamp ## ruff, mypy, import-linter, and luacheck where it is installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if web/npm --version >/dev/null 2>&1; then $(MAKE) --no-print-directory web-check web; else echo "there is neither Node nor its wheel: the dashboard is not linted"; fi
	@if command -v luacheck >/dev/null; then luacheck --quiet services; else echo "luacheck is not installed: Lua is not linted"; fi

.PHONY: format
format: $(VENV)/test.stamp ## put the code into ruff's layout
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

.PHONY: docs
docs: $(VENV)/test.stamp ## write the tables that come from the code: settings in README.md, values in the chart's README.md
	$(BIN)/python docs/settings_table.py
	$(if $(wildcard helm/readme.py),$(BIN)/python helm/readme.py)

.PHONY: bench
bench: $(VENV)/run.stamp ## measure throughput and latency beside plain Celery (some minutes)
	$(BIN)/python -m bench.throughput

.PHONY: chaos
chaos: $(VENV)/test.stamp ## throw faults at the whole system; MINUTES=10 SEED=1
	$(BIN)/python -m chaos --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

.PHONY: clean
clean: ## delete what was made here, except the data of `make run`
	rm -rf $(VENV) build dist web/node_modules services/laneway/api/dashboard/files .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
