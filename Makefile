# `make demo` and `make test` work on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types contracts links docs clean

demo: .venv/ready
	$(BIN)/catalog ingest demo --db demo.duckdb --yes
	$(BIN)/catalog show 0.469 --db demo.duckdb

test: lint types contracts .venv/ready
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: links .venv/ready
	$(BIN)/mypy

contracts: links .venv/ready
	$(BIN)/lint-imports

# mypy and import-linter know packages by their paths: a checkout without links gets them here.
links:
	@for folder in ingest queries migrations; do \
		test -d catalog/$$folder || ln -sfn ../$$folder catalog/$$folder; \
	done

.venv/ready: pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

docs: .venv/ready
	$(BIN)/python docs/generate.py

clean:
	rm -rf .venv demo.duckdb demo.duckdb.*
