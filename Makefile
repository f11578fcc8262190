# Everything that this repository can do. On a fresh machine: `make run` or `make test`.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first Python from 3.11 to 3.13 that works. The embedded MongoDB-protocol server has no wheel for 3.14.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$python; exit; }; \
	done; echo python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet
UV_VERSION := 0.13.9
LOCK := $(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate $(LOCK_FLAGS)
PEER_LOCKS := $(basename $(wildcard bench/peers/requirements/*.in))
PYTEST_FLAGS ?=
# Many an image sets it. The tests start hundreds of processes, and each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE
# Tests wait as long as they compute, so three times as many processes as processors. Each has servers and ports of its own.
TEST_PROCESSES ?= $(shell expr $$(nproc) \* 3)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'

# -- environment ----------------------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is %s; set PYTHON=" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

# What `make run` needs. The stamp makes it run again only when the lock has changed.
$(VENV)/run.stamp: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements/dev.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/test.stamp: requirements/test.txt pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements/test.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $(VENV)/run.stamp $@

$(VENV)/bench.stamp: requirements/bench.txt $(VENV)/run.stamp
	$(PIP) --require-hashes -r requirements/bench.txt
	@touch $@

.PHONY: venv
venv: $(VENV)/test.stamp ## create .venv with all locked dependencies

.PHONY: lock
lock: | $(BIN)/python ## resolve the dependencies again and write requirements/ (LOCK_FLAGS=--upgrade: newest versions)
	test -x $(VENV)/lock/bin/uv || { $(BIN)/python -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet uv==$(UV_VERSION); }
	$(LOCK) --group build -o requirements/build.txt
	$(LOCK) --group web -o requirements/web.txt
	$(LOCK) pyproject.toml --extra server -o requirements/server.txt
	$(LOCK) pyproject.toml --group build --extra dev -c requirements/server.txt -o requirements/dev.txt
	$(LOCK) pyproject.toml --group build --group test --extra dev -c requirements/dev.txt -o requirements/test.txt
	$(LOCK) --group bench -c requirements/test.txt -o requirements/bench.txt
	for peer in $(PEER_LOCKS); do $(LOCK) $$peer.in -o $$peer.txt; done

# -- dashboard ------------------------------------------------------------------------------------------------------

WEB_BUILT := services/laneway/api/dashboard/files/index.html
WEB_SOURCES := $(shell find web -path web/node_modules -prune -o -type f -not -name openapi.json -not -name schema.ts -print)
WEB_CHECKED := web/node_modules/.checked

web/node_modules/.package-lock.json: web/package-lock.json web/package.json web/.npmrc | $(BIN)/python
	web/npm ci --no-progress --loglevel=error
	@touch $@

$(WEB_BUILT): web/node_modules/.package-lock.json $(WEB_SOURCES)
	web/npm run --silent build

.PHONY: web
web: $(WEB_BUILT) ## build the dashboard, with this machine's Node or the wheel's

# Types of the API's answers, for the editor and svelte-check; the build needs none. Most changes of the API leave its document as it was.
web/node_modules/.openapi: $(VENV)/run.stamp web/node_modules/.package-lock.json web/openapi.py $(shell find services/laneway/api -name '*.py')
	$(BIN)/python web/openapi.py > $@.new
	@cmp --silent $@.new web/openapi.json || cp $@.new web/openapi.json
	@mv $@.new $@

# Without the document, the stamp says nothing.
web/openapi.json: web/node_modules/.openapi
	@test -f $@ || cp web/node_modules/.openapi $@

web/src/api/schema.ts: web/openapi.json
	web/npm exec --silent -- openapi-typescript web/openapi.json --output $@ >/dev/null

# The stamp makes it run again only when something has changed.
$(WEB_CHECKED): web/src/api/schema.ts $(WEB_SOURCES) web/node_modules/.package-lock.json
	web/npm run --silent lint
	web/npm run --silent check
	web/npm run --silent test
	@touch $@

.PHONY: web-check
web-check: $(WEB_CHECKED) ## lint, types and unit tests of the dashboard, if it has changed

.PHONY: wheel
wheel: $(VENV)/run.stamp web ## build dist/laneway-*.whl, the dashboard in it
	$(BIN)/python -m hatchling build -t wheel

# -- run ------------------------------------------------------------------------------------------------------------

.PHONY: run
run: $(VENV)/run.stamp ## start everything on this machine until Ctrl-C
	@$(MAKE) --no-print-directory web || echo "The dashboard could not be built; all else works."
	@exec $(BIN)/laneway dev

.PHONY: demo
demo: $(VENV)/run.stamp ## show two users interleave, then check 1,000 requests of 20 users, on the running system
	@exec $(BIN)/python -m bench.demo

# -- check ----------------------------------------------------------------------------------------------------------

PYTEST := $(BIN)/python -m pytest --ignore=tests/cluster --ignore=tests/faults --ignore=tests/image --ignore=tests/node --ignore=tests/browser
TEST = $(PYTEST) -m "not thorough" --numprocesses=$(TEST_PROCESSES) --dist=loadfile --no-loadscope-reorder $(PYTEST_FLAGS)

.PHONY: test
test: $(VENV)/test.stamp ## check style, types and imports beside the quick tests; .ci/run runs all
	@$(MAKE) --no-print-directory --jobs=2 lint-style lint-built tests-compiled
	@tests/quick.sh $(TEST)

# In a fresh clone, one process compiles the tests instead of each.
.PHONY: tests-compiled
tests-compiled: $(VENV)/test.stamp
	@test -d tests/__pycache__ || $(PYTEST) --collect-only --quiet >/dev/null || true

.PHONY: lint
lint: $(VENV)/test.stamp ## run ruff, mypy, import-linter, and luacheck if it is installed
	@$(MAKE) --no-print-directory --jobs=2 lint-style lint-built
	@$(MAKE) --no-print-directory --jobs=2 lint-deep

# `make test` waits for style and the dashboard's build, which tests look at, and runs the rest beside the tests.
.PHONY: lint-style lint-built lint-deep lint-types lint-imports lint-web lint-lua
lint-style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
lint-built:
	@if web/npm --version >/dev/null 2>&1; then $(MAKE) --no-print-directory web; else echo "there is neither Node nor its wheel: the dashboard is neither built nor linted"; fi
lint-deep: lint-types lint-imports lint-web lint-lua
lint-types:
	$(BIN)/mypy
lint-imports:
	$(BIN)/lint-imports
lint-web:
	@! test -e web/node_modules/.package-lock.json || $(MAKE) --no-print-directory web-check
lint-lua:
	@if command -v luacheck >/dev/null; then luacheck --quiet services; else echo "luacheck is not installed, so Lua was not checked"; fi

.PHONY: format
format: $(VENV)/test.stamp ## format the code with ruff
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

.PHONY: docs
docs: $(VENV)/test.stamp ## write what is generated: the settings in README.md, the values in the chart's README.md, the synchronous client
	$(BIN)/python docs/settings_table.py
	$(BIN)/python docs/synchronous_client.py
	$(if $(wildcard helm/readme.py),$(BIN)/python helm/readme.py)

.PHONY: screenshots
screenshots: $(VENV)/test.stamp web ## take the pictures of docs/dashboard.md again, with Chromium
	$(BIN)/python -m tests.browser.screenshots

.PHONY: bench
bench: $(VENV)/bench.stamp ## measure beside peers, which are installed into a cache (QUICK=1: within 5 minutes; MINUTES=30; ONLY=throughput,latency; ROUNDS=3)
	$(BIN)/python -m bench.peers $(if $(QUICK),--quick) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: bench-table
bench-table: $(VENV)/run.stamp ## write the table of README.md from a results file of `make bench` (RESULTS=bench/results/...json INCOMPLETE=1)
	$(BIN)/python -m bench.peers.readme $(RESULTS) $(if $(INCOMPLETE),--incomplete)

.PHONY: chaos
chaos: $(VENV)/test.stamp ## inject faults into the whole system and judge it (MINUTES=10 SEED=1)
	$(BIN)/python -m chaos --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

.PHONY: clean
clean: ## delete everything that was built here, except the data of `make run`
	rm -rf $(VENV) build dist web/node_modules services/laneway/api/dashboard/files .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
