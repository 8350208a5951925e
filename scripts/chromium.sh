#!/usr/bin/env bash
# Unpacks Debian 12's Chromium, with the libraries and the fonts that it needs, into
# .toolchain/chromium: `make test-long` tries the console with it. Nothing is installed, and nothing
# outside this folder is touched. It needs a Debian or a relative of it.
#
#   scripts/chromium.sh       about 800 MB of disk the first time; repeating it costs nothing
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup/common.sh
. scripts/setup/debian.sh

CHROMIUM=$TOOLCHAIN/chromium
# What was unpacked is complete.
if [ -e "$CHROMIUM/.have" ]; then exit 0; fi

# Besides what the system's C library brings.
packages_of_chromium() {
  apt-cache "${APT_OPTIONS[@]}" depends --recurse --important chromium |
    grep -E '^[a-z0-9]' | grep -vE '^(libc6|libc6-.*|libc-bin|libcrypt1|gcc-.*|libc-.*|dpkg|tar|perl.*|libperl.*|debconf.*|cdebconf.*|python.*)$' | sort -u
}

unpack_chromium() {
  rm -rf "$CHROMIUM" "$CHROMIUM.new" && mkdir -p "$CHROMIUM.new" && use_suite "$PYTHON_SUITE" || return 1
  # shellcheck disable=SC2046
  unpack "$CHROMIUM.new" $(packages_of_chromium) fonts-dejavu-core || return 1
  rm -rf "$CHROMIUM.new"/usr/share/{doc,help,icons,locale,man,texmf}
  touch "$CHROMIUM.new/.have" && mv "$CHROMIUM.new" "$CHROMIUM" && rm -rf "$APT"
}

can_fetch_from_debian || fail "Debian 12's Chromium cannot be fetched: $WHY_NOT."
say "fetching Debian 12's Chromium into $CHROMIUM (this folder only)"
attempt unpack_chromium || {
  explain
  rm -rf "$APT" "$CHROMIUM.new"
  fail "Debian 12's Chromium could not be unpacked." "${HINTS[@]}"
}
say "ready: $CHROMIUM"
