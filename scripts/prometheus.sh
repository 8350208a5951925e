#!/usr/bin/env bash
# Unpacks Debian 12's Prometheus and Alertmanager (promtool and amtool among them) into
# .toolchain/prometheus: `make test-long` tries the alert rules and the dashboards with them. Nothing
# is installed, and nothing outside this folder is touched. It needs a Debian or a relative of it.
#
#   scripts/prometheus.sh       about 250 MB the first time; repeating it costs nothing
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup/common.sh
. scripts/setup/debian.sh

PROMETHEUS=$TOOLCHAIN/prometheus
# What was unpacked is complete.
if [ -e "$PROMETHEUS/.have" ]; then exit 0; fi

unpack_prometheus() {
  rm -rf "$PROMETHEUS" "$PROMETHEUS.new" && mkdir -p "$PROMETHEUS.new" && use_suite "$PYTHON_SUITE" &&
    unpack "$PROMETHEUS.new" prometheus prometheus-alertmanager &&
    touch "$PROMETHEUS.new/.have" && mv "$PROMETHEUS.new" "$PROMETHEUS" && rm -rf "$APT"
}

can_fetch_from_debian || fail "Debian 12's Prometheus cannot be fetched: $WHY_NOT."
say "fetching Debian 12's Prometheus and Alertmanager into $PROMETHEUS (this folder only)"
attempt unpack_prometheus || {
  explain
  rm -rf "$APT" "$PROMETHEUS.new"
  fail "Debian 12's Prometheus and Alertmanager could not be unpacked." "${HINTS[@]}"
}
say "ready: $PROMETHEUS"
