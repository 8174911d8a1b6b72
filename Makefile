# Every target sets up what it needs on a machine with only git, make and Python 3.11 or newer:
# a virtual environment in .venv with the pinned packages of constraints.txt.

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTHON ?= python3.13 python3.12 python3.11 python3.14 python3
PINS := pyproject.toml constraints.txt
DEMO := demo

.PHONY: help demo test test-browser test-all check format bench gallery docs setup clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo "make demo          train the swiss roll, draw samples, make a film: pictures in $(DEMO)/"
	@echo "make test          the tests, without those that are slow or need a GPU or a browser"
	@echo "make test-browser  the tests that drive a Chromium, which must be installed"
	@echo "make test-all      every test that can run on this machine"
	@echo "make check         formatting, lint and types"
	@echo "make format        formats, and repairs what lint can repair"
	@echo "make bench         runs benchmarks/*.py"
	@echo "make gallery       makes every picture of the README and of docs/ anew"
	@echo "make docs          builds the book in docs/"
	@echo "make setup         only sets up .venv for working on toydiff"
	@echo "make clean         removes the demo, caches and builds; keeps .venv and your runs"

# The pictures go to demo/, which is emptied first, so that the demo can be made again; the run joins your other runs.
demo: .venv/ready
	@rm -rf $(DEMO)
	@mkdir -p $(DEMO)
	$(BIN)/toydiff train --preset swissroll
	$(BIN)/toydiff sample swissroll -n 2000 --output $(DEMO)/samples.png
	$(BIN)/toydiff animate swissroll --to mp4 --output $(DEMO)/swissroll.mp4
	@echo
	@echo "samples   $(CURDIR)/$(DEMO)/samples.png"
	@echo "film      $(CURDIR)/$(DEMO)/swissroll.mp4"
	@echo "run       the newest in $(CURDIR)/checkpoints"
	@echo "your turn $(BIN)/toydiff --help"

# torch has one thread in the tests, so as many run at once as there are cores; four at most, for their memory
AT_ONCE := -n auto --maxprocesses 4 --dist worksteal

test: .venv/ready-dev
	$(BIN)/pytest $(AT_ONCE)

test-browser: .venv/ready-dev
	$(BIN)/pytest -m browser

test-all: .venv/ready-dev
	$(BIN)/pytest $(AT_ONCE) -m ""

check: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/ready-dev
ifneq ($(wildcard benchmarks/*.py),)
	@set -e; for script in $(sort $(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python $$script; done
else
	@echo "There are no benchmarks yet."
endif

gallery: .venv/ready
	$(BIN)/python docs/gallery.py

docs: $(if $(wildcard docs/conf.py),.venv/ready-docs)
ifneq ($(wildcard docs/conf.py),)
	$(BIN)/sphinx-build -W --keep-going docs build/docs
	@echo "open $(CURDIR)/build/docs/index.html"
else
	@echo "There is no book yet: the README, the docstrings and \`toydiff --help\` are the documentation."
endif

setup: .venv/ready-dev

clean:
	rm -rf $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@for python in $(PYTHON); do \
	    if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "setting up .venv with $$($$python --version)"; exec $$python -m venv .venv; \
	    fi; \
	done; \
	echo "No Python 3.11 or newer with venv among: $(PYTHON). Install one, or say which: make PYTHON=/path/to/python" >&2; \
	exit 1

.venv/ready: $(PINS) | .venv/bin/python
	@echo "installing the packages toydiff runs with (the first time takes a minute or two) …"
	@$(PIP) --editable .
	@touch $@

.venv/ready-dev: $(PINS) | .venv/bin/python
	@echo "installing the packages for working on toydiff (the first time takes a minute or two) …"
	@$(PIP) --editable ".[dev]"
	@touch .venv/ready $@

.venv/ready-docs: $(PINS) | .venv/bin/python
	@echo "installing the packages the book is built with …"
	@$(PIP) --editable ".[dev,docs]"
	@touch .venv/ready .venv/ready-dev $@
