# Every target sets up what it needs and may be run again at any time.
.DEFAULT_GOAL := help

.PHONY: help setup demo docs test test-long coverage coverage-report kill-test lint format bench-tokenize bench-decode bench-metering bench-train bench-equality bench-serve bench-gateway clean

help:  ## Show the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## Make .venv from uv.lock (done by every other target too)
	@scripts/setup.sh

demo: setup  ## Corpus, pipeline, model server, held-out documents answered, counted and priced
	@scripts/demo.sh

# Its theme warns of the next major version of MkDocs, which the lock file keeps away.
docs: export NO_MKDOCS_2_WARNING = 1
docs: setup  ## The documents, with their reference made from the code: build/docs/index.html
	.venv/bin/python -m mkdocs build --strict

lint: setup  ## Style, formatting, scripts, the import rule and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/shellcheck --severity=warning --external-sources scripts/*.sh scripts/setup/*.sh .ci/run
	.venv/bin/lint-imports --no-cache --no-logo
	.venv/bin/mypy

format: setup  ## Bring the sources into shape
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# Files side by side, as many as there are cores; then those that need the cores to themselves.
# Whatever is chosen by a marker is looked for in the sources, because importing every module to
# leave its tests out takes longer than most of them.
# COVERAGE=1 measures which lines are reached; `make coverage-report` tells.
PYTEST := .venv/bin/$(if $(COVERAGE),coverage run,python) -m pytest
SIDE_BY_SIDE := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
FILES_WITH = $$(grep -rlE --include='test_*.py' $(1) tests)
LONG := long or sized or hypothesis
LONG_FILES := 'mark\.(long|sized)|hypothesis'

test: setup  ## The tests for every change
	$(PYTEST) -m "not long and not alone" $(SIDE_BY_SIDE)
	$(PYTEST) -m "not long and alone" $(call FILES_WITH,'mark\.alone')

test-long: export TALLYGRAPH_TEST_SIZES = long
test-long: setup  ## The tests that are too long for every change, and more examples of the others
	$(PYTEST) -m "($(LONG)) and not alone" $(SIDE_BY_SIDE) $(call FILES_WITH,$(LONG_FILES))
	$(PYTEST) -m "($(LONG)) and alone" $(call FILES_WITH,$(LONG_FILES))

coverage: setup  ## All tests, and the share of the lines that they reach
	rm -rf build/coverage
	$(MAKE) test test-long COVERAGE=1
	$(MAKE) coverage-report

coverage-report: setup  ## What tests that ran with COVERAGE=1 have reached
	.venv/bin/coverage combine --keep --quiet
	.venv/bin/coverage report

kill-test: setup  ## Gateway, model servers, database killed 200 times under load: every answer billed, once
	TALLYGRAPH_KILLS=200 TALLYGRAPH_KILL_REQUESTS=50000 .venv/bin/python -m pytest -s \
	  --timeout=7200 tests/serving/gateway/test_kills.py

bench-tokenize: setup  ## Tokenizing in the graph against the libraries: docs/benchmarks/tokenize.md
	.venv/bin/tallygraph corpus docstrings --output build/corpus/docstrings
	.venv/bin/python -m benchmarks.tokenize

# TALLYGRAPH_PEERS names the Python of an environment with the peers; else one is made.
bench-decode: setup  ## Decoding against other engines: docs/benchmarks/decode.md
	$(if $(TALLYGRAPH_PEERS),,scripts/peers.sh)
	.venv/bin/python -m benchmarks.decode

bench-metering: setup  ## The metered against the base model: docs/benchmarks/metering.md
	.venv/bin/tallygraph corpus docstrings --output build/corpus/docstrings
	.venv/bin/python -m benchmarks.metering

bench-train: setup  ## Training steps against a plain PyTorch loop: docs/benchmarks/train.md
	$(if $(TALLYGRAPH_PEERS),,scripts/peers.sh)
	.venv/bin/python -m benchmarks.train

bench-serve: setup  ## The model server against calls in process, and batching: docs/benchmarks/serve.md
	.venv/bin/tallygraph corpus docstrings --output build/corpus/docstrings
	.venv/bin/python -m benchmarks.serve

# TALLYGRAPH_GATEWAY_PEERS names the Python of an environment with litellm[proxy]; else one is made.
bench-gateway: setup  ## The gateway against LiteLLM's proxy, on a stub: docs/benchmarks/gateway.md
	$(if $(TALLYGRAPH_GATEWAY_PEERS),,scripts/gateway_peers.sh)
	.venv/bin/python -m benchmarks.gateway

# After `make demo`, or with VERSION=... and CORPUS=... of another run.
VERSION ?= $(lastword $(sort $(wildcard build/serving/summarizer/[0-9]*)))
CORPUS ?= build/corpus/docstrings
bench-equality: setup  ## Answers against keras-hub's, id for id, on held-out documents
	.venv/bin/python -m benchmarks.equality $(VERSION) $(CORPUS)

clean:  ## Remove what runs have made (.venv stays)
	rm -rf build
