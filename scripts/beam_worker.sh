#!/bin/sh
# A Beam worker of this environment, for engines that start workers as processes (Flink, Spark):
#   --environment_type=PROCESS --environment_config='{"command": "/path/to/scripts/beam_worker.sh"}'
cd "$(dirname "$0")/.." && exec .venv/bin/python -m pipelines.beam_worker "$@"
