# Everything a person does here. `make help` lists it. Needs git, make, and Python 3.10 or newer with pip.
PYTHON ?= python3
DRIVER ?= process
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip --disable-pip-version-check --quiet
# Most tests wait for processes that they started: one more at a time than there are processors.
SIDES   := $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
SOURCES := $(shell find src examples/income -type f -not -path '*/__pycache__/*' -not -path '*/.seaproof/*')

.PHONY: help demo test lint types docs bench soak fuzz clean classic-env

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

demo: $(VENV)/.demo  ## run the main job on real data: train, deploy, predict, replace (DRIVER=docker for containers)
	@if [ "$(DRIVER)" = docker ]; then echo "building the image income"; examples/income/build --quiet; fi
	@$(BIN)/seaproof demo --driver $(DRIVER) --folder .cache/demo

test: $(VENV)/.test  ## run the tests on the built wheel, side by side (ARGS="..." for pytest instead)
	@$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),-n $(SIDES) --dist loadfile)

lint: $(VENV)/.test  ## formatting, lint rules, types, layers
	@$(BIN)/ruff format --check -q . || { echo "run: ruff format ."; exit 1; }
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

docs: $(VENV)/.test  ## write the generated reference pages again
	@$(BIN)/python docs/generate.py

bench: $(VENV)/.test  ## measure against other stacks (QUICK=1: under 3 minutes; ONLY=run,codecs: these)
	@$(BIN)/python benchmarks/all.py $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

classic-env: $(VENV)/.made  ## what examples/classic needs where it runs as a folder, in an environment of its own
	@$(BIN)/python tests/venvs.py classic

soak: $(VENV)/.test  ## the tests that take minutes each
	@$(BIN)/python -m pytest -m slow $(ARGS)

fuzz: $(VENV)/.test  ## the property tests with examples that nobody has seen yet
	@$(BIN)/python -m pytest -n auto --dist loadfile --hypothesis-profile=fuzz $(or $(ARGS),$$(grep -rlE "import.* given" tests --include="test_*.py"))

clean:  ## remove what was built and installed here
	@rm -rf $(VENV) dist build .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The wheel is built once; demo and tests run what users install, not the source tree.
dist/.built: pyproject.toml README.md $(SOURCES) | $(VENV)/.made
	@echo "building the wheel"
	@rm -rf dist && mkdir dist
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@touch $@

$(VENV)/.made:
	@echo "making a virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed; say PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { $(PYTHON) -m pip install --quiet --user virtualenv && $(PYTHON) -m virtualenv --quiet $(VENV); }
	@touch $@

$(VENV)/.demo: dist/.built constraints.txt
	@echo "installing seaproof and what the demo needs"
	@$(PIP) install "$$(ls dist/*.whl)[local]" -r examples/income/requirements.txt
	@$(PIP) install --no-deps --force-reinstall dist/*.whl
	@touch $@

$(VENV)/.test: $(VENV)/.demo tests/requirements.txt
	@echo "installing what the tests need"
	@$(PIP) install -r tests/requirements.txt
	@touch $@
