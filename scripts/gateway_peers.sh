#!/usr/bin/env bash
# Makes .toolchain/gateway-peers: an environment with the gateway that this project's is
# compared with, LiteLLM's proxy. Nothing of it is in uv.lock, and only benchmarks/gateway
# needs it.
#
#   scripts/gateway_peers.sh    about 0.6 GB the first time; repeating it costs nothing
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup/common.sh

make_peers .toolchain/gateway-peers 'litellm[proxy]==1.108.7'
