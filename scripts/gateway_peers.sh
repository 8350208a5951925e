#!/usr/bin/env bash
# Makes .toolchain/gateway-peers: an environment with the gateway that this project's is
# compared with, LiteLLM's proxy. Nothing of it is in uv.lock, and only benchmarks/gateway
# needs it.
#
#   scripts/gateway_peers.sh    about 0.6 GB the first time; repeating it costs nothing
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES=('litellm[proxy]==1.108.7')
PEERS=.toolchain/gateway-peers
UV=.toolchain/tools/bin/uv

unset VIRTUAL_ENV PYTHONPATH PYTHONHOME UV_PROJECT_ENVIRONMENT
[ -x "$UV" ] || scripts/setup.sh
if [ "$(cat $PEERS/.have 2>/dev/null || true)" = "${PACKAGES[*]}" ]; then exit 0; fi
"$UV" venv --quiet --clear --python "${PYTHON:-python3}" "$PEERS"
"$UV" pip install --quiet --python "$PEERS/bin/python" "${PACKAGES[@]}"
echo "${PACKAGES[*]}" > "$PEERS/.have"
echo "the gateway's peers are in $PEERS"
