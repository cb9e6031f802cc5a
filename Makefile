# What can be done here, each with one command on a machine that has Python 3.10 or newer and nothing else:
# the first use makes the virtual environment it needs. PYTHON=python3.12 make test chooses the interpreter.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PARITY := .venv-parity

.PHONY: help demo hafez test check bench docs parity clean

help:
	@echo "make demo     learn to read handwritten digits, from the file to the prediction"
	@echo "make hafez    train a small GPT on Persian verse, and let it write some"
	@echo "make test     all tests (without PyTorch)"
	@echo "make check    ruff, types, the order of imports"
	@echo "make bench    what starting, importing and training cost"
	@echo "make docs     the reference of the public names, in build/docs"
	@echo "make parity   the tests that hold mashal against PyTorch (installs it)"
	@echo "make clean    remove what these made"

demo: $(VENV)/.run
	$(BIN)/python examples/digits.py

hafez: $(VENV)/.run
	$(BIN)/python examples/hafez.py

test: $(VENV)/.test
	$(BIN)/python -m pytest

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -q tests/test_layers.py

bench: $(VENV)/.run
	$(BIN)/python benchmarks/run.py

docs: $(VENV)/.run
	$(BIN)/python docs/reference.py build/docs

parity: $(PARITY)/.parity
	$(PARITY)/bin/python -m pytest -m parity

clean:
	rm -rf $(VENV) $(PARITY) build .pytest_cache .ruff_cache .hypothesis

# A stamp stands for what is installed; it is out of date when pyproject.toml has changed.
$(VENV)/.run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	$(BIN)/python -m compileall -q src
	touch $@

$(VENV)/.test: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

$(VENV)/.dev: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(PARITY)/.parity: pyproject.toml
	$(PYTHON) -m venv $(PARITY)
	$(PARITY)/bin/python -m pip install --quiet --editable '.[test,parity]'
	touch $@
