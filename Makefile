# The commands of this project: make demo, make discord, make test, make bench, make clean.
# Needs Python 3.11 or newer with its venv module, make, and a C compiler for the few libraries without a wheel here.
# Another Python: make demo PYTHON=/path/to/python3. pip's own settings (PIP_*, pip.conf) are respected.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BENCH_VENV := .venv-bench
PIP_INSTALL := -m pip install --quiet --quiet --disable-pip-version-check --no-input -c constraints.txt
NEEDS := pyproject.toml constraints.txt

.PHONY: help demo discord test bench install clean check-python

help:
	@echo "make demo     install, import the bundled sample, train a small double on the CPU, chat with it"
	@echo "make discord  the double on a stand-in for Discord on this computer, with a page in the browser"
	@echo "make test     install what the tests need and run them all"
	@echo "make bench    install the opponents and print the benchmark table (some of it: make bench BENCH='--only training')"
	@echo "make clean    remove what the commands above made"

# A stamp is touched after its step succeeded, so an interrupted install is simply done again, and a finished one costs
# nothing until pyproject.toml or constraints.txt change.
$(VENV)/.stamp-venv $(BENCH_VENV)/.stamp-venv:
	@command -v "$(PYTHON)" >/dev/null || { echo "talkalike needs Python 3.11 or newer, and '$(PYTHON)' was not found. Install it, or name yours: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "talkalike needs Python 3.11 or newer, and '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1). Name a newer one: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 2; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "'$(PYTHON)' cannot make virtual environments: its venv module is missing. On Debian and Ubuntu: apt install python3-venv. Or name another Python: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 2; }
	@echo "==> virtual environment in $(@D)"
	@"$(PYTHON)" -m venv $(@D)
	@touch $@

$(VENV)/.stamp-base: $(NEEDS) $(VENV)/.stamp-venv
	@echo "==> installing talkalike and its libraries (a few minutes the first time)"
	@$(VENV)/bin/python $(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.stamp-test: $(NEEDS) $(VENV)/.stamp-venv
	@echo "==> installing talkalike, its libraries and the test tools (a few minutes the first time)"
	@$(VENV)/bin/python $(PIP_INSTALL) -e '.[test]'
	@touch $(VENV)/.stamp-base $@

$(BENCH_VENV)/.stamp-bench: $(NEEDS) $(BENCH_VENV)/.stamp-venv
	@echo "==> installing talkalike and the benchmark's opponents (a few minutes the first time)"
	@$(BENCH_VENV)/bin/python $(PIP_INSTALL) -e '.[bench]'
	@touch $@

install: $(VENV)/.stamp-base

demo: $(VENV)/.stamp-base
	@$(VENV)/bin/talkalike demo

discord: $(VENV)/.stamp-base
	@$(VENV)/bin/talkalike serve --discord --offline --workspace demo

# The tests of the pages drive a real browser. Debian's is installed where that needs no password; else CHROMIUM names one.
$(VENV)/.stamp-browser: $(VENV)/.stamp-venv
	@if [ -n "$${CHROMIUM:-}$$(command -v chromium chromium-browser google-chrome || true)" ]; then :; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then echo "==> installing Chromium for the tests of the pages"; \
		(export DEBIAN_FRONTEND=noninteractive; apt-get install -qq -y --no-install-recommends chromium || (apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium)) >/dev/null; \
	elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then echo "==> installing Chromium for the tests of the pages"; \
		(sudo -n apt-get update -qq && sudo -n DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium) >/dev/null; \
	else echo "The tests of the pages need Chromium. Install it (Debian, Ubuntu: apt install chromium), or name yours: make test CHROMIUM=/path/to/chromium" >&2; exit 2; fi
	@touch $@

# pytest comes last, so that its summary is the last line.
test: $(VENV)/.stamp-test $(VENV)/.stamp-browser
	@echo "==> ruff";                $(VENV)/bin/ruff check --quiet .
	@echo "==> ruff format";         $(VENV)/bin/ruff format --quiet --check . || { echo "These files are not formatted; run $(VENV)/bin/ruff format ." >&2; $(VENV)/bin/ruff format --check .; }
	@echo "==> mypy --strict";       $(VENV)/bin/mypy --no-error-summary
	@echo "==> import contract";     $(VENV)/bin/lint-imports --no-logo
	@echo "==> pytest";              $(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile

bench: $(BENCH_VENV)/.stamp-bench
	@$(BENCH_VENV)/bin/python bench/run.py $(BENCH)

clean:
	@rm -rf $(VENV) $(BENCH_VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache src/*.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Clean. Your own workspaces were not touched."
