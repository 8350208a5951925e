#!/usr/bin/env bash
# The main job, end to end, with nothing but the ordinary commands: a corpus, the pipeline, a
# model server, and what it makes of documents that were held out, with counts and prices.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
tallygraph=.venv/bin/tallygraph
output=build
prices=examples/prices.toml

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

step "1/4  corpus: docstrings of the installed Python packages"
$tallygraph corpus docstrings --output $output/corpus/docstrings

step "2/4  pipeline: train, meter, evaluate, validate, push"
$tallygraph run --config configs/quickstart.toml --corpus $output/corpus/docstrings --output $output \
  --prices $prices

step "3/4  model server"
read -r rest_port grpc_port < <(.venv/bin/python -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))')
$tallygraph serve --model-dir $output/serving/summarizer --rest-port "$rest_port" --grpc-port "$grpc_port" &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true' EXIT

step "4/4  three documents that the model has not learnt from"
$tallygraph samples --output $output --url "http://127.0.0.1:$rest_port" \
  --grpc "127.0.0.1:$grpc_port" --wait 600 --prices $prices

printf '\nThe report of the run, to open in a browser: %s\n' "$PWD/$output/reports/quickstart.html"
