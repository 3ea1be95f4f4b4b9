# The one list of commands; CI and people run the same. Needs Python 3.11 or 3.12 with venv, and make.
UV_VERSION := 0.13.9
BIN := .venv/bin
SYNC = UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1 \
	$(BIN)/uv sync --frozen --inexact --python $(BIN)/python
CODE := flows models tests benchmarks notebooks

# A process that has to compile its sources first takes twice as long to start, and the tests start hundreds of them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo demo-kafka lab kafka test test-system check fmt docs bench bench-formats bench-kafka bench-snapshots bench-memory bench-growth bench-behaviour bench-budget bench-slider bench-opening bench-peers lab-day quality performance chaos soak clean bench-archive bench-timeline

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

setup: .venv/.core ## make .venv from uv.lock (core packages)

demo: .venv/.core ## 300,000 simulated events, scored live, the alerts beside the truth
	@mkdir -p demo
	$(BIN)/lapwing simulate --events 300000 --seed 7 --output demo/events.ndjson
	$(BIN)/lapwing detect --input demo/events.ndjson --output demo
	$(BIN)/lapwing compare demo/alerts.ndjson demo/events.ndjson.truth.ndjson
	@echo
	@echo "The files are in $(CURDIR)/demo:"
	@ls -lh demo | awk 'NR > 1 { printf "  %8s  %s\n", $$5, $$9 }'

demo-kafka: .venv/.test ## a real Kafka, traffic at a steady rate, the flow between topics, alerts as they come
	@$(BIN)/python -m tests.kafka.demo

lab: .venv/.test ## a notebook in the browser; NAME=tune|explore|investigate|compare, DIR=out for your own results
	$(BIN)/lapwing lab $(or $(NAME),explore) $(if $(DIR),--dir $(DIR))

kafka: .venv/.test ## a real Kafka on this machine with Lapwing's topics, until Ctrl-C
	@$(BIN)/python -m tests.kafka

test: .venv/.test ## the whole test suite, doctests too, by two workers for each core (eight at most; WORKERS=1)
	$(BIN)/pytest -n $(or $(WORKERS),auto) --dist loadfile --no-loadscope-reorder --ignore=tests/system

test-system: .venv/.system ## what needs Debian packages: apt-get install chromium chromium-driver rsyslog rsyslog-openssl prometheus
	$(BIN)/pytest tests/system

check: .venv/.check ## ruff, mypy strict, import-linter
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: .venv/.check ## format, and fix what can be fixed
	$(BIN)/ruff check --fix-only --exit-zero $(CODE)
	$(BIN)/ruff format $(CODE)

docs: .venv/.test ## tables and examples of docs/outputs.md, and deploy/siem, from the table of fields and the encoders
	$(BIN)/python -m tests.siem_docs

bench: .venv/.test ## speed, beside typed decoding alone and the straightforward flow
	$(BIN)/python -m benchmarks.run

bench-formats: .venv/.test ## speed over platforms' own formats, beside format lapwing
	$(BIN)/python -m benchmarks.formats

bench-kafka: .venv/.test ## speed and delays from topic to topic, over a real Kafka
	$(BIN)/python -m benchmarks.kafka

bench-snapshots: .venv/.test ## what an epoch of a million entities writes, and its stall
	$(BIN)/python -m benchmarks.snapshots

bench-memory: .venv/.test ## memory under ten million one-shot entities
	$(BIN)/python -m benchmarks.memory

bench-growth: .venv/.test ## cost by events, entities, detections and processes; PART=entities one of them, or each
	$(BIN)/python -m benchmarks.growth $(if $(PART),--part $(PART))

bench-archive: .venv/.test ## events into an audit trail on a local disk: a core's rate, and memory
	$(BIN)/python -m benchmarks.archive $(if $(EVENTS),--events $(EVENTS))

bench-timeline: .venv/.test ## how long a person's timeline takes as the trail grows; EVENTS="1000000 3000000 10000000"
	$(BIN)/python -m benchmarks.timeline $(if $(EVENTS),--events $(EVENTS))

bench-behaviour: .venv/.test ## strange behaviour in simulated days: how much is found, how much is false
	$(BIN)/python -m benchmarks.behaviour

bench-budget: .venv/.test ## whether a budget's interval holds on held-back weeks of 50 simulated platforms; 8 GB, half an hour
	$(BIN)/python -m benchmarks.budget

bench-slider: .venv/.system ## moving the slider of the notebook over a million windows, in Chromium
	$(BIN)/python -m benchmarks.slider

bench-opening: .venv/.system ## from `lapwing lab NAME` to the drawn page, the first start of an installation and later ones
	$(BIN)/python -m benchmarks.opening

lab-day: .venv/.test ## the simulated day that comes with the notebooks, anew for this version and its defaults
	$(BIN)/python -m benchmarks.bundle_day

quality: .venv/.test ## what is found and what is false, on data that nobody here wrote; writes docs/quality.md (an hour)
	$(BIN)/python -m benchmarks.quality $(if $(ONLY),--only "$(ONLY)")

performance: .venv/.test ## what it costs, on a quiet machine; writes docs/performance.md (two hours); ONLY="run growth", LIST=1
	$(BIN)/python -m benchmarks.performance $(if $(ONLY),--only $(ONLY)) $(if $(LIST),--list) $(if $(CALCULATE),--calculate)

bench-peers: .venv/.test .venv-peers/.peers ## one counting job in csp, Flink SQL (needs Java) and Pathway, beside ours; 2 GB
	$(BIN)/python -m benchmarks.engines --events $(or $(EVENTS),200000)

chaos: .venv/.test ## the flow over a real Kafka, killed 25 times and cut off, then compared with a quiet run; SEED=1
	$(BIN)/python -m tests.kafka.chaos --seed $(or $(SEED),1)

soak: .venv/.test ## eleven simulated days at full speed: does anything grow or slow down
	$(BIN)/python -m benchmarks.soak

clean: ## remove results and caches; .venv and .venv-peers stay
	rm -rf demo out dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find flows models tests benchmarks notebooks -name __pycache__ -prune -exec rm -rf {} +

# A name on the PATH is not yet a Python: version managers put names there that only print an error.
.venv/bin/python:
	@for python in python3.12 python3.11 python3 python; do \
		if $$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; then \
			echo "making .venv with $$($$python --version)"; \
			$$python -m venv .venv && exit 0; \
			rm -rf .venv; exit 1; \
		fi; \
	done; \
	echo "make: no Python 3.11 or 3.12 with venv was found (on Debian: apt-get install python3 python3-venv)" >&2; exit 1

.venv/bin/uv: | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.core: pyproject.toml uv.lock | .venv/bin/uv
	$(SYNC)
	@touch $@

.venv/.test: .venv/.core
	$(SYNC) --group test
	@touch $@

.venv/.system: .venv/.test
	$(SYNC) --group system
	@touch $@

.venv/.check: .venv/.system
	$(SYNC) --group test --group system --group check
	@touch $@

.venv-peers/.peers: pyproject.toml uv.lock | .venv/bin/uv
	UV_PROJECT_ENVIRONMENT=.venv-peers UV_PYTHON_DOWNLOADS=never $(BIN)/uv sync --frozen --only-group peers --python $(BIN)/python
	@touch $@
