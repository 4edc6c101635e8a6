# Every target sets up what it needs, in a virtual environment of its own ($(VENV)).
#   make test PYTHON=python3.12       another Python, for a new environment
#   make test ARGS="-k append -n 0"   options for pytest; "-n 0": in one process, not one per core
#   make demo REDIS_URL=redis://…     the demo on a server of yours
# The oldest dependencies allowed have an environment of their own, $(VENV)-lowest.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
LOWEST := $(VENV)-lowest
# One process more than there are cores: tests wait for servers and for children.
CORES := --numprocesses=$(shell $(PYTHON) -c "import os; print(os.cpu_count() + 1)") --dist=worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test test-lowest coverage lint format typecheck docs \
	bench bench-tables fuzz notebooks pictures clean

help:  ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed-demo  ## Show sessions at work (REDIS_URL=…, else in memory)
	@$(BIN)/python -m demo.travel_desk $(ARGS)

test: $(VENV)/.installed-test  ## Run all tests, with servers of their own
	$(BIN)/python -m pytest $(CORES) $(ARGS)

test-lowest: $(LOWEST)/.installed  ## Run the unit tests and the contract with the oldest dependencies allowed
	@echo With $$(cut -d ' ' -f 1 $(LOWEST)/ours.txt)
	$(LOWEST)/bin/python -m pytest $(CORES) -k "$(ONE_PASS)" $(ARGS) tests/unit tests/contract

coverage: $(VENV)/.installed-test  ## Run all tests, and say what no test has run; fail below the floor
	$(BIN)/python -m pytest --cov $(CORES) $(ARGS)

lint: $(VENV)/.installed-dev  ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev  ## Put style and format right where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(VENV)/.installed-dev  ## Check the types of the package and the tests
	$(BIN)/mypy

docs: $(VENV)/.installed-docs  ## Build the site of the documentation, with the reference, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build $(ARGS)

bench: $(VENV)/.installed-bench  ## Measure, against the raw client and the alternatives
	$(BIN)/python -m tests.benchmarks $(ARGS)

bench-tables: $(VENV)/.installed-bench  ## Make the tables of README and docs from what was measured
	$(BIN)/python -m tests.benchmarks.tables

fuzz: $(VENV)/.installed-test  ## Look for entries, messages and names that do harm (ARGS="--seed 1 --entries 1000000 …")
	$(BIN)/python -m tests.fuzz $(ARGS)

notebooks: $(VENV)/.installed-test  ## Run the notebooks, and store them with what they show
	$(BIN)/python -m tests.notebooks $(ARGS)

pictures: $(VENV)/.installed-dev  ## Draw the pictures of the documentation; needs Chromium
	TZ=UTC $(BIN)/python docs/images/make_pictures.py

clean:  ## Remove the environment, the caches and what was built
	rm -rf $(VENV) $(LOWEST) build dist .coverage .coverage.* htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The second time there is nothing to do, until pyproject.toml changes.
$(VENV)/.installed-demo: EXTRAS = agents,cli,embedded
$(VENV)/.installed-test: EXTRAS = test
$(VENV)/.installed-dev: EXTRAS = dev
$(VENV)/.installed-docs: EXTRAS = docs
$(VENV)/.installed-bench: EXTRAS = bench

$(VENV)/.installed-%: pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable ".[$(EXTRAS)]"
	@touch $@

# uv does in seconds what takes pip minutes.
.PRECIOUS: %/bin/uv
%/bin/uv:
	$(PYTHON) -m venv $*
	$*/bin/python -m pip install --quiet --disable-pip-version-check uv

# One pass of the contract: on a standalone server with one kind of client, and on fakeredis, whose
# age shows in its async clients.
ONE_PASS = not (cluster or decoding or resp3 or field-ttl or (fakeredis and not async))

# The oldest of what we need ourselves come first; all else that the tests need must fit them.
# Nothing is built from source, but for the one that has no wheel.
RESOLVE = $(LOWEST)/bin/uv pip compile --quiet --no-header --python $(LOWEST)/bin/python \
	--only-binary :all: --no-binary forbiddenfruit pyproject.toml

$(LOWEST)/.installed: pyproject.toml | $(LOWEST)/bin/uv
	$(RESOLVE) --resolution lowest --annotation-style line | grep pyproject.toml > $(LOWEST)/ours.txt
	echo "langgraph-checkpoint<4" > $(LOWEST)/old.txt  # later ones can't use langchain-core 1.0
	$(RESOLVE) --resolution lowest-direct --no-annotate --extra test \
		--constraint $(LOWEST)/ours.txt --constraint $(LOWEST)/old.txt > $(LOWEST)/all.txt
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --link-mode copy \
		--requirement $(LOWEST)/all.txt
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --no-deps --editable .
	@touch $@
