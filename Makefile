# Every target sets up what it needs and may be run again at any time.
.DEFAULT_GOAL := help
PYTHON ?= python3
export PYTHON

.PHONY: help setup lint test

help:  ## Show the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## Make .venv from uv.lock (done by every other target too)
	@scripts/setup.sh

lint: setup  ## Style, formatting and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

test: setup  ## All tests
	.venv/bin/python -m pytest
