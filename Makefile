# Everything a person or a machine needs to run, test and check Event Center. `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run prometheus test test-kafka screenshots bench bench-console chaos lint reset

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS := requirements.txt requirements-dev.txt
# Extra arguments: make test ARGS="-k signing -x", make bench ARGS="--events 20000"
ARGS ?=
# Each has a PostgreSQL, a Valkey and a Kafka endpoint of its own.
TEST_PROCESSES ?= 2
export PORT ?= 8000
export STACK_DIR ?= .stack
export PYTHON

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/event-center
KAFKA_POM := tests/kafka/pom.xml
# Named by the pom's checksum: another version of the broker goes into another directory.
KAFKA_JARS = $(CACHE)/kafka-$(shell cksum < $(KAFKA_POM) | cut -d' ' -f1)

ON_APACHE = STACK_KAFKA=apache STACK_KAFKA_JARS="$(KAFKA_JARS)"

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup ## Start everything on this machine with demo data; Ctrl-C stops it (PORT=8000, STACK_DIR=.stack)
	@exec $(BIN)/python -m config.stack run --with-parent

prometheus: setup ## Run Debian's Prometheus with our rules beside make run; Ctrl-C stops it (PROMETHEUS_PORT=9090, STACK_DIR)
	@exec $(BIN)/python -m config.stack prometheus

# Tests that kill processes and count what came of it, or drive a browser before a whole stack, have the machine to themselves.
ALONE := tests/pipeline tests/browser

test: setup ## Run the whole test suite against real embedded services (ARGS=... goes to pytest, in one process)
ifeq ($(ARGS),)
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile $(addprefix --ignore=,$(ALONE))
	@exec $(BIN)/python -m pytest $(ALONE)
else
	@exec $(BIN)/python -m pytest $(ARGS)
endif

test-kafka: setup $(KAFKA_JARS)/complete ## Run the tests marked kafka on Apache Kafka (needs mvn and a JVM >= 17)
ifeq ($(ARGS),)
	@$(ON_APACHE) $(BIN)/python -m pytest -m kafka -n $(TEST_PROCESSES) --dist loadfile $(addprefix --ignore=,$(ALONE))
	@$(ON_APACHE) exec $(BIN)/python -m pytest -m kafka $(ALONE)
else
	@$(ON_APACHE) exec $(BIN)/python -m pytest -m kafka $(ARGS)
endif

screenshots: setup ## Take the pictures of the console's pages anew, into docs/console/
	@SCREENSHOTS_DIRECTORY=docs/console exec $(BIN)/python -m pytest tests/browser/test_pages.py -k whole $(ARGS)

bench: setup ## Measure throughput and latency (ARGS="--events N --fan-out F --rate R --json")
	@exec $(BIN)/python manage.py bench $(ARGS)

bench-console: setup ## Time the console's pages on 5 million deliveries (ARGS="--deliveries N --loads N")
	@exec $(BIN)/python manage.py bench_console $(ARGS)

chaos: setup ## Let everything fail at random under load and count what is lost (ARGS="--rounds N --seed S --short --json")
	@exec $(BIN)/python manage.py chaos $(ARGS)

lint: setup ## Ruff, format check, mypy, import contracts, missing migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@# Compares models with migration files only. The address is one where nothing listens, so it cannot need a database.
	DATABASE_URL=postgresql://nobody@127.0.0.1:1/none $(BIN)/python -W "ignore:Got an error checking a consistent migration history" manage.py makemigrations --check --dry-run

reset: setup ## Remove the data of make run (STACK_DIR)
	@exec $(BIN)/python -m config.stack reset

.PHONY: setup
setup:
	@bash config/stack/setup.sh $(VENV) $(REQUIREMENTS)

$(KAFKA_JARS)/complete: $(KAFKA_POM)
	@command -v mvn >/dev/null || { echo "make test-kafka needs mvn (Apache Maven) and a JVM >= 17" >&2; exit 1; }
	@echo "Fetching Apache Kafka's jars into $(KAFKA_JARS) (once)"
	@mkdir -p "$(KAFKA_JARS)"
	@mvn --batch-mode --quiet -f $(KAFKA_POM) dependency:copy-dependencies -DoutputDirectory="$(KAFKA_JARS)" -DincludeScope=runtime
	@touch "$@"
