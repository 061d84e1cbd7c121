# Two commands: `make demo` and `make test`. Both set up what they need; the second time that is instant.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Torch collapses when its threads outnumber free cores, and small models gain nothing from a second one.
export OMP_NUM_THREADS ?= 1

.PHONY: setup demo demo-grpo figures test test-kill lint format bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "relift needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

demo: setup  ## set up, then ReLIFT end to end on the embedded default
	$(BIN)/relift train demo --name demo

demo-grpo: setup  ## the same run without fine-tuning: plain GRPO
	$(BIN)/relift train demo --name demo-grpo --set sft=off

figures: setup  ## the README's table: the demo against plain GRPO, seeds 0 to 2 (six runs)
	$(BIN)/python -m tests.figures

test: setup  ## set up, then all tests
	$(BIN)/pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-kill: setup  ## the resume tests with ten kills instead of two
	RELIFT_TEST_KILLS=10 $(BIN)/pytest tests/flows/test_resume.py

bench: setup  ## figures as ratios in one run, into runs/bench
	$(BIN)/python -m tests.bench

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
