# The two commands of the README, from a fresh clone with Python 3.11 and make:
#   make demo    train the quickstart, translate drawings it has never seen, show where the pictures are
#   make test    the tests; `make slow` runs the long ones too, `make lint` the linters
# They install into .venv, once; PYTHON=... chooses another interpreter, EXTRA=... is handed to pip.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SETS ?=

.PHONY: demo test slow lint clean
.DELETE_ON_ERROR:

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "i2i needs Python 3.11 or later; '$(PYTHON)' is not. Try: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

# Stamps: what is installed is looked at again only when pyproject.toml changes.
.venv/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(EXTRA) -e .
	@touch $@

.venv/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(EXTRA) -e '.[dev]'
	@touch $@ .venv/.demo

# All of it stays in demo/: a home of its own, the run, the drawings and their translations.
demo: export I2I_HOME := $(CURDIR)/demo/home
demo: .venv/.demo
	$(BIN)/i2i train recipes/quickstart.yaml --run demo/quickstart $(foreach set,$(SETS),--set $(set))
	$(BIN)/i2i translate demo/home/datasets/fluent_line2d3d/testA --model quickstart -o demo/translated --force
	$(BIN)/i2i evaluate --model quickstart
	@echo
	@echo "drawings     demo/home/datasets/fluent_line2d3d/testA   (held out: training never saw them)"
	@echo "translated   demo/translated"
	@echo "report       demo/quickstart/report.html"

test: .venv/.dev
	$(BIN)/python -m pytest

slow: .venv/.dev
	$(BIN)/python -m pytest -m ''

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf demo dist
