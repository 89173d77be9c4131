# Custodes: set-up, tests and the quickstart assessment. `make help` lists what there is.
#
# Set-up writes inside this folder alone, except that it installs the Debian package bubblewrap
# when that is missing and may be installed (CUSTODES_NO_APT=1 forbids it).

.DEFAULT_GOAL := help
SHELL := /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
unexport PYTHONPATH PYTHONHOME

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
CASE ?= build/quickstart
# Test processes: one per core, eight at most.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ "$$n" -le 8 ] || n=8; echo $$n)
PYTEST := $(BIN)/python -m pytest -n $(WORKERS)
# A worker takes whole files, longest first (tests/conftest.py). What hangs shows where, and ends.
QUICKLY := --dist loadfile --no-loadscope-reorder \
	-o faulthandler_timeout=900 -o faulthandler_exit_on_timeout=true

# What the installed command depends on besides the requirements; its code is read from src.
PROJECT := pyproject.toml src/custodes/__init__.py
INSTALLER := scripts/find_python.sh scripts/venv.sh scripts/install.sh

.PHONY: help
help: ## what there is
	@sed -n 's/^\([a-z-]*\):[^#]*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: setup
setup: $(STAMPS)/assess sandbox toolbox ## .venv with the command .venv/bin/custodes, and bubblewrap

.PHONY: assess
assess: setup ## run or resume the quickstart case; write build/quickstart/report.html
	$(BIN)/custodes assess $(CASE) --quickstart $(ASSESS_FLAGS)

.PHONY: test
test: $(STAMPS)/dev sandbox toolbox ## set up, lint, quick tests (one of which runs mypy)
	$(BIN)/ruff check .
	$(PYTEST) $(QUICKLY) -p tests.unsteady $(PYTEST_FLAGS)

.PHONY: test-slow
test-slow: $(STAMPS)/dev sandbox toolbox ## what is long: full-size attacks, kills, the browser
	@scripts/system_package.sh chromium
	$(PYTEST) --dist worksteal -m "slow or browser" --hypothesis-profile=thorough $(PYTEST_FLAGS)

.PHONY: lint
lint: $(STAMPS)/dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: lock
lock: $(STAMPS)/lock ## write requirements/*.txt again (UPGRADE=1 takes the newest)
	UPGRADE=$(UPGRADE) scripts/lock.sh $(BIN)/uv

.PHONY: clean
clean: ## remove what was made: environment, caches, quickstart case (no other case)
	rm -rf $(VENV) build/quickstart dist
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	find $(wildcard src tests scripts benchmarks) -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: sandbox
sandbox:
	@scripts/system_package.sh bubblewrap
	@scripts/check_sandbox.sh

.PHONY: toolbox
toolbox: $(STAMPS)/venv ## what tasks find in the sandbox besides git and Python
	@scripts/toolbox.sh $(VENV) requirements/toolbox.txt

# An environment is looked at again when its interpreter is gone or when the tree was moved or
# copied with it. Each further stamp says which requirements it holds; the development
# requirements contain the others at the same versions (a test compares them).
ifneq ($(wildcard $(BIN)/python)@$(shell cat $(STAMPS)/venv 2>/dev/null),$(BIN)/python@$(CURDIR))
.PHONY: $(STAMPS)/venv
endif
$(STAMPS)/venv: scripts/find_python.sh scripts/venv.sh
	@scripts/venv.sh $(VENV)
	@mkdir -p $(STAMPS) && echo "$(CURDIR)" >$@

$(STAMPS)/assess: $(STAMPS)/venv requirements/assess.txt $(PROJECT) $(INSTALLER)
	@echo "custodes: installing requirements/assess.txt into $(VENV)"
	@scripts/install.sh $(VENV) requirements/assess.txt
	@touch $@

$(STAMPS)/dev: $(STAMPS)/venv requirements/dev.txt $(PROJECT) $(INSTALLER)
	@echo "custodes: installing requirements/dev.txt into $(VENV)"
	@scripts/install.sh $(VENV) requirements/dev.txt
	@touch $@ $(STAMPS)/assess

$(STAMPS)/lock: $(STAMPS)/venv requirements/lock.txt
	@$(BIN)/python -I -m pip install --quiet --require-hashes --only-binary :all: -r requirements/lock.txt
	@touch $@
