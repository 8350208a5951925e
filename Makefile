# Every target sets up what it needs and may be run again at any time.
.DEFAULT_GOAL := help

.PHONY: help setup demo docs test test-long test-kubernetes test-flink test-engine coverage coverage-report kill-test lint format bench-tokenize bench-decode bench-trained bench-extracts bench-metering bench-train bench-equality bench-serve bench-gateway bench-gpu bench-ledger bench-console bench-sizing bench-edge bench-data-nodes clean

help:  ## Show the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## Create .venv from uv.lock (every other target does it, too)
	@scripts/setup.sh

demo: setup  ## Corpus, pipeline, model server, held-out documents answered, counted and priced
	@scripts/demo.sh

# Its theme warns of the next major version of MkDocs, which the lock file keeps away.
docs: export NO_MKDOCS_2_WARNING = 1
docs: setup  ## Build the documents, with the reference made from the code: build/docs/index.html
	.venv/bin/python -m mkdocs build --strict

lint: setup  ## Check style, formatting, scripts, the import rule and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/shellcheck --severity=warning --external-sources scripts/*.sh scripts/setup/*.sh .ci/run
	.venv/bin/lint-imports --no-cache --no-logo
	.venv/bin/mypy

format: setup  ## Format the sources
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# Files side by side (TEST_WORKERS=1 for one after another); then those that need the cores to themselves.
# Whatever is chosen by a marker is looked for in the sources, because importing every module to
# leave its tests out takes longer than most of them.
# COVERAGE=1 measures which lines are reached; `make coverage-report` tells.
PYTEST := .venv/bin/$(if $(COVERAGE),coverage run,python) -m pytest
TEST_WORKERS ?= $(shell scripts/test_workers.sh)
SIDE_BY_SIDE = -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder
FILES_WITH = $$(grep -rlE --include='test_*.py' $(1) tests)
LONG := long or sized or hypothesis
LONG_FILES := 'mark\.(long|sized)|hypothesis'

test: setup  ## Run the tests that every change must pass
	$(PYTEST) -m "not long and not alone and not kubernetes and not flink" $(SIDE_BY_SIDE)
	$(PYTEST) -m "not long and alone" $(call FILES_WITH,'mark\.alone')

test-long: export TALLYGRAPH_TEST_SIZES = long
test-long: setup  ## Run the tests that take too long for every change, and more examples of the others
	$(PYTEST) --timeout=1800 -m "($(LONG)) and not alone" $(SIDE_BY_SIDE) $(call FILES_WITH,$(LONG_FILES))
	$(PYTEST) --timeout=1800 -m "($(LONG)) and alone" $(call FILES_WITH,$(LONG_FILES))

test-kubernetes: setup  ## Build Kubernetes' control plane, kwok and KEDA from Go modules, and apply the chart to them
	scripts/control_plane.sh
	$(PYTEST) -m kubernetes tests/e2e/control_plane

test-flink: setup  ## Fetch Apache Flink, run the data nodes on two task managers, kill one, and compare the results
	scripts/flink.sh
	$(PYTEST) -m flink tests/e2e/flink

# BEAM_ARGS names an engine of your own (docs/how-to/beam-engines.md), else Beam's own job server and
# worker pool are started; BEAM_FOLDER, emptied first, is one that its workers reach by the same path.
BEAM_FOLDER ?= build/test-engine
test-engine: export TALLYGRAPH_BEAM_ARGS = $(BEAM_ARGS)
test-engine: setup  ## Run the data nodes on a Beam engine, such as Flink (BEAM_ARGS='--runner=...'), and compare the results
	mkdir -p $(dir $(BEAM_FOLDER))
	$(PYTEST) -m long -k engine --basetemp=$(BEAM_FOLDER) tests/pipelines/test_beam_engine.py \
	  tests/serving/billing/test_reconcile_logs.py

coverage: setup  ## Run all tests, and measure the share of the lines that they reach
	rm -rf build/coverage
	$(MAKE) test test-long COVERAGE=1
	$(MAKE) coverage-report

coverage-report: setup  ## Report what tests that ran with COVERAGE=1 have reached
	.venv/bin/coverage combine --keep --quiet
	.venv/bin/coverage report

kill-test: setup  ## Kill three gateways, model servers and database 200 times under load, fill the disk: every response is billed once
	TALLYGRAPH_KILLS=200 TALLYGRAPH_KILL_REQUESTS=50000 .venv/bin/python -m pytest -s \
	  --timeout=7200 tests/serving/gateway/test_kills.py

bench-tokenize: setup  ## Compare tokenizing in the graph with the libraries: docs/benchmarks/tokenize.md
	.venv/bin/tallygraph corpus docstrings --output build/corpus/docstrings
	.venv/bin/python -m benchmarks.tokenize

# TALLYGRAPH_PEERS names the Python of an environment with the peers; else one is made.
bench-decode: setup  ## Compare decoding with other engines: docs/benchmarks/decode.md
	$(if $(TALLYGRAPH_PEERS),,scripts/peers.sh)
	.venv/bin/python -m benchmarks.decode

bench-metering: setup  ## Compare the metered with the base model: docs/benchmarks/metering.md
	.venv/bin/tallygraph corpus docstrings --output build/corpus/docstrings
	.venv/bin/python -m benchmarks.metering

bench-train: setup  ## Compare training steps with a plain PyTorch loop: docs/benchmarks/train.md
	$(if $(TALLYGRAPH_PEERS),,scripts/peers.sh)
	.venv/bin/python -m benchmarks.train

bench-serve: setup  ## Compare the model server with calls in process, and measure batching: docs/benchmarks/serve.md
	.venv/bin/tallygraph corpus docstrings --output build/corpus/docstrings
	.venv/bin/python -m benchmarks.serve

# TALLYGRAPH_GATEWAY_PEERS names the Python of an environment with litellm[proxy]; else one is made.
bench-gateway: setup  ## Compare the gateway with LiteLLM's proxy, on a stub: docs/benchmarks/gateway.md
	$(if $(TALLYGRAPH_GATEWAY_PEERS),,scripts/gateway_peers.sh)
	.venv/bin/python -m benchmarks.gateway

# After `make demo`, on a machine with a GPU. TALLYGRAPH_GPU_PEERS names a Python with PyTorch for CUDA.
bench-gpu: setup  ## Exports and training on a GPU against PyTorch: docs/benchmarks/gpu.md
	.venv/bin/python -m benchmarks.gpu $(if $(TALLYGRAPH_GPU_PEERS),--peers $(TALLYGRAPH_GPU_PEERS))

bench-ledger: setup  ## Measure a ledger of a million entries and 100,000 tenants: docs/benchmarks/ledger.md
	.venv/bin/python -m benchmarks.ledger

bench-console: setup  ## Measure the console's pages on a ledger of a million entries: docs/benchmarks/console.md
	.venv/bin/python -m benchmarks.console

# After `make demo`, or with VERSION=... and CORPUS=... of another run.
VERSION ?= $(lastword $(sort $(wildcard build/serving/summarizer/[0-9]*)))
CORPUS ?= build/corpus/docstrings
bench-equality: setup  ## Compare outputs with keras-hub's, id for id, on held-out documents
	.venv/bin/python -m benchmarks.equality $(VERSION) $(CORPUS)

bench-trained: setup  ## Compare decoding of a version's weights with other engines: docs/benchmarks/decode.md
	$(if $(TALLYGRAPH_PEERS),,scripts/peers.sh)
	.venv/bin/python -m benchmarks.decode.trained $(VERSION) $(CORPUS)

# Trains a T5 of T5-small's sizes first, until it copies: about half an hour on two cores.
EXTRACTS := build/benchmarks/extracts
bench-extracts: setup  ## Compare decoding of a model that copies with other engines: docs/benchmarks/decode.md
	$(if $(TALLYGRAPH_PEERS),,scripts/peers.sh)
	.venv/bin/tallygraph corpus docstrings --output build/corpus/docstrings
	.venv/bin/python -m benchmarks.decode.extracts build/corpus/docstrings $(EXTRACTS)/corpus
	.venv/bin/tallygraph run --config benchmarks/decode/extracts.toml \
	  --corpus $(EXTRACTS)/corpus --output $(EXTRACTS)
	.venv/bin/python -m benchmarks.decode.trained --extracts \
	  "$$(ls -d $(EXTRACTS)/serving/summarizer/[0-9]* | sort | tail -n 1)" $(EXTRACTS)/corpus

bench-sizing: setup  ## Measure what a model server and a gateway take: docs/benchmarks/sizing.md
	.venv/bin/python -m benchmarks.sizing $(VERSION) --corpus $(CORPUS)

bench-edge: setup  ## Compare a version's LiteRT files with its SavedModel: docs/benchmarks/edge.md
	.venv/bin/python -m benchmarks.edge $(VERSION) $(CORPUS)

ROWS ?= 200000
bench-data-nodes: setup  ## Measure the nodes that read the corpus at ROWS rows: docs/benchmarks/data-nodes.md
	.venv/bin/tallygraph corpus docstrings --output build/corpus/docstrings
	.venv/bin/python -m benchmarks.data_nodes --rows $(ROWS)

clean:  ## Remove the outputs of runs (.venv stays)
	rm -rf build
