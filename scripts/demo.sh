#!/usr/bin/env bash
# The main job, end to end, with nothing but the ordinary commands: a corpus, the pipeline,
# a model server, and two questions whose counts are checked against the tokenizer library.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
tallygraph=.venv/bin/tallygraph
output=build
model=$output/serving/summarizer

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

step "1/4  corpus: docstrings of the installed Python packages"
$tallygraph corpus docstrings --output $output/corpus/docstrings

step "2/4  pipeline: train, meter, evaluate, validate, push"
$tallygraph run --config configs/quickstart.toml --corpus $output/corpus/docstrings --output $output

step "3/4  model server"
read -r rest_port grpc_port < <(.venv/bin/python -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))')
$tallygraph serve --model-dir $model --rest-port "$rest_port" --grpc-port "$grpc_port" &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true' EXIT

step "4/4  two questions"
text="The file is opened lazily, when the first record is read from it, and closed again \
when the reader is exhausted or garbage collected. Records are decoded one after another."
version=$(ls -d $model/[0-9]* | sort -V | tail -n 1)
$tallygraph summarize "$text" --url "http://127.0.0.1:$rest_port" --wait 120 --check "$version"
$tallygraph summarize "$text" --grpc "127.0.0.1:$grpc_port" --check "$version"

printf '\nOpen the report of the run: %s\n' "$PWD/$output/reports/quickstart.html"
