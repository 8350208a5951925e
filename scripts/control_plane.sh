#!/usr/bin/env bash
# Builds Kubernetes' API server and controller manager, and etcd, into .toolchain/control-plane, from
# Go modules at the versions that tests/e2e/control_plane/go.mod names: `make test-kubernetes` applies
# the chart to them. Nothing is installed, and nothing outside this folder is touched, unless GOMODCACHE
# and GOCACHE name other folders. It needs Go 1.26 or later, or one that may fetch it (GOTOOLCHAIN=auto).
#
#   scripts/control_plane.sh    10 to 20 minutes on two cores and 4 GB the first time, 140 MB after it;
#                               repeating it costs nothing, and one that was interrupted goes on
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup/common.sh

SOURCES=tests/e2e/control_plane
VERSION=$(awk '$1 == "k8s.io/kubernetes" {print $2; exit}' $SOURCES/go.mod)
MADE=$PWD/$TOOLCHAIN/control-plane
# What was built of the same sources is complete.
SUM=$(cat $SOURCES/go.mod $SOURCES/main.go scripts/control_plane.sh | cksum)
if [ "$(cat "$MADE/.have" 2>/dev/null)" = "$SUM" ]; then exit 0; fi

command -v go >/dev/null || fail "Kubernetes $VERSION cannot be built: there is no go on PATH." \
  "Install Go 1.26 or later (or 1.21 or later, with GOTOOLCHAIN=auto), and run again."

OWN=$PWD/$TOOLCHAIN/go
export GOMODCACHE=${GOMODCACHE:-$OWN/modules} GOCACHE=${GOCACHE:-$OWN/build}
export GOFLAGS="-mod=readonly -modcacherw -buildvcs=false" CGO_ENABLED=0

build_control_plane() {
  local flags="-s -w -X k8s.io/component-base/version.gitVersion=$VERSION"
  local minor=${VERSION#v*.}
  flags+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
  mkdir -p "$MADE" && rm -f "$MADE/.have" &&
    (cd $SOURCES && go build -trimpath -ldflags "$flags" -o "$MADE/control-plane.new" .) &&
    mv "$MADE/control-plane.new" "$MADE/control-plane" || return 1
  local name
  for name in etcd kube-apiserver kube-controller-manager; do
    ln -sf control-plane "$MADE/$name" || return 1
  done
}

say "building Kubernetes $VERSION's API server and controller manager, and etcd, into $MADE (this folder only)"
attempt build_control_plane || {
  explain
  fail "Kubernetes $VERSION cannot be built." "${HINTS[@]}"
}
printf '%s\n' "$SUM" > "$MADE/.have"
rm -rf "$OWN"
say "ready: $MADE"
