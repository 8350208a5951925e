#!/usr/bin/env bash
# Makes .toolchain/peers: an environment with the implementations that this project is
# compared with (transformers on PyTorch, CTranslate2). Nothing of it is in uv.lock, and the
# project needs none of it: only scripts/make_checkpoint_fixtures.py and the benchmarks do.
#
#   scripts/peers.sh            about 2 GB the first time; repeating it costs nothing
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup/common.sh

make_peers .toolchain/peers \
  ctranslate2==4.8.5 \
  numpy==2.4.6 \
  protobuf==7.36.2 \
  safetensors==0.8.0 \
  sentencepiece==0.2.3 \
  tokenizers==0.23.3 \
  torch==2.15.0 \
  transformers==5.24.0
