# make demo: the service on sample data.  make test: every check.  make install: the set-up alone.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install

.PHONY: demo install test lint types layers schema service readers bench bench-quick pictures lock

demo: install
	@$(BIN)/calendar-feeds demo

install: .venv/installed

test: lint types layers schema service commands readers
	@echo "== all passed: ruff, mypy --strict, import-linter, schema.graphql, pytest"

lint: .venv/installed-dev
	@echo "== ruff: style, mistakes, formatting"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: .venv/installed-dev
	@echo "== mypy --strict: types"
	@$(BIN)/mypy

layers: .venv/installed-dev
	@echo "== import-linter: api → feed → db, never back"
	@$(BIN)/lint-imports --no-cache

schema: .venv/installed-dev
	@echo "== schema.graphql: is it what the service serves?"
	@$(BIN)/calendar-feeds schema | diff schema.graphql -

# What starts the command again and again, and what is held against other programs and the corpus, can run beside all
# else: make -j2 test.
COMMANDS := tests/api/commands tests/api/test_cli.py tests/api/test_workers.py tests/test_docs.py tests/test_examples.py \
	tests/test_integrators_page.py tests/test_webhook_docs.py
READERS := tests/conformance tests/clients tests/graphql_http tests/web tests/feed/importing tests/feed/recurring

service: .venv/installed-dev .venv/installed-programs
	@echo "== pytest: the service, with a real PostgreSQL and real HTTP"
	@$(BIN)/pytest $(addprefix --ignore=,$(COMMANDS) $(READERS))

commands: .venv/installed-dev .venv/installed-programs
	@echo "== pytest: the command, and what the pages and examples say"
	@$(BIN)/pytest -p no:cacheprovider $(COMMANDS)

readers: .venv/installed-dev .venv/installed-programs
	@echo "== pytest: what other programs read and write, and the screen in a browser"
	@$(BIN)/pytest -p no:cacheprovider $(READERS)

# Dependencies come as wheels whose hashes are written down, so no compiler is needed and a build can be repeated.
.venv/installed: pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "calendar-feeds needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@echo "== installing into .venv"
	@$(PYTHON) -m venv .venv
	@$(PIP) --only-binary :all: --require-hashes -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	@echo "== installing the tools of the tests into .venv"
	@$(PIP) --only-binary :all: --require-hashes -r requirements-dev.txt
	@touch $@

# The programs of the tests that no wheel brings.
.venv/installed-programs: tests/install $(wildcard tests/*/package-lock.json) | .venv/installed-dev
	@echo "== installing the programs of the tests"
	@$<
	@touch $@

# Take the pictures of the documentation anew, with the sample data of today.
pictures: .venv/installed-dev .venv/installed-programs
	@CALENDAR_FEEDS_PICTURES=docs/screen $(BIN)/pytest -p no:cacheprovider tests/web/test_pictures.py

# Write the lock files anew, from pyproject.toml and those of the benchmark's other programs (needs uv).
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header
lock:
	$(LOCK) --upgrade pyproject.toml --extra build --extra dev -o requirements-dev.txt
	$(LOCK) pyproject.toml --extra build -c requirements-dev.txt -o requirements.txt
	for wanted in bench/peers/*/requirements.in bench/pictures/requirements.in; do \
	    $(LOCK) --upgrade $$wanted -o $${wanted%.in}.txt || exit; done
