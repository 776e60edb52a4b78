# What moec needs is Python 3.11 to 3.13 and make; the rest is installed into $(VENV).
#
#   make quickstart   train the dense model and its Mixture-of-Experts twin of examples/quickstart.moe, and compare them
#   make test         lint, types, tests
#   make slow         the tests that take minutes
#   make clean        remove what the targets above made, except runs/
#
# Another interpreter or place:  make test PYTHON=python3.12 VENV=.venv-3.12

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STEPS  ?=
SLOW   ?=
RUNS   ?=
PIP    := PYTHONWARNINGS=ignore $(BIN)/python -m pip --disable-pip-version-check -qq
PACKAGES := $(wildcard spec compiler cli lsp)
TYPED  := build/typecheck

.DEFAULT_GOAL := help
.PHONY: help quickstart test slow lint format typecheck clean

help:
	@sed -n 's/^#  //p' Makefile

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing moec and what it needs into $(VENV); this takes a minute or two"
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing moec and its development tools into $(VENV); this takes a minute or two"
	@$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.installed

quickstart: $(VENV)/.installed
	$(BIN)/moec run examples/quickstart.moe $(if $(RUNS),-o $(RUNS)) $(if $(STEPS),--steps $(STEPS))

test: lint typecheck
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow $(SLOW)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# mypy follows folders, not import hooks: it gets `moec` as a folder of links (docs/decisions/0001).
typecheck: $(VENV)/.installed-dev
	@mkdir -p $(TYPED)/moec
	@for package in $(PACKAGES) runtime; do ln -sfn ../../../$$package $(TYPED)/moec/$$package; done
	MYPYPATH=$(TYPED) $(BIN)/mypy $(PACKAGES:%=-p moec.%)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -path './.venv*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
