#!/usr/bin/env bash
# Builds what `make test-kubernetes` applies the chart to into .toolchain/control-plane, from Go modules
# at the versions that the go.mod files of tests/e2e/control_plane name:
#
#   control-plane   etcd, and Kubernetes' API server, controller manager and scheduler
#   kwok            which plays nodes, and the pods on them
#   keda            KEDA's operator and its metrics adapter
#
# Nothing is installed, and nothing outside this folder is touched, unless GOMODCACHE and GOCACHE name
# other folders. It needs Go 1.26 or later, or one that may fetch it (GOTOOLCHAIN=auto).
#
#   scripts/control_plane.sh            all of it: half an hour and more on two cores, 4 GB of memory and 10 GB
#                                       of disk the first time; 500 MB after it. Repeating it costs nothing
#   scripts/control_plane.sh PART...    these parts
#
# A part that was interrupted goes on: what Go has fetched and compiled is kept until no part is begun.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup/common.sh

SOURCES=tests/e2e/control_plane
MADE=$PWD/$TOOLCHAIN/control-plane
OWN=$PWD/$TOOLCHAIN/go
export GOMODCACHE=${GOMODCACHE:-$OWN/modules} GOCACHE=${GOCACHE:-$OWN/build}
export GOFLAGS="-mod=readonly -modcacherw -buildvcs=false" CGO_ENABLED=0

# version_of FOLDER MODULE: the one that the folder's go.mod requires.
version_of() {
  awk -v module="$2" '$1 == "require" && $2 == module {print $3} $1 == module {print $2}' "$1/go.mod" | head -n 1
}

# folder_of FOLDER MODULE: where the module's files are.
folder_of() { (cd "$1" && go list -m -f '{{.Dir}}' "$2"); }

# build FOLDER TO LINKED PACKAGE...: the packages' programs, in the folder TO, with the linker's options.
build() {
  local folder=$1 to=$2 linked=$3
  shift 3
  mkdir -p "$to" && (cd "$folder" && go build -trimpath -ldflags "-s -w $linked" -o "$to/" "$@")
}

build_control_plane() {
  local version minor linked name new=$MADE/control-plane.new
  version=$(version_of $SOURCES k8s.io/kubernetes)
  minor=${version#v*.}
  linked="-X k8s.io/component-base/version.gitVersion=$version"
  linked+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
  rm -rf "$new" && build $SOURCES "$new" "$linked" . && mv "$new/control-plane" "$MADE" && rm -r "$new" || return 1
  for name in etcd kube-apiserver kube-controller-manager kube-scheduler; do
    ln -sf control-plane "$MADE/$name" || return 1
  done
}

build_kwok() {
  local module=sigs.k8s.io/kwok new=$MADE/kwok.new
  rm -rf "$new" && build $SOURCES/kwok "$new" "" $module/cmd/kwok || return 1
  # What pods and nodes become, as kwok's own releases bring it.
  cp -R "$(folder_of $SOURCES/kwok $module)/kustomize/stage" "$new/stages" && chmod -R u+w "$new/stages" &&
    rm -rf "$MADE/kwok-stages" && mv "$new/stages" "$MADE/kwok-stages" && mv "$new/kwok" "$MADE/kwok" && rm -r "$new"
}

build_keda() {
  local version program module=github.com/kedacore/keda/v2 new=$MADE/keda.new
  version=$(version_of $SOURCES/keda $module)
  rm -rf "$new" || return 1
  for program in operator adapter; do  # not both at once: each takes 3 GB to link
    build $SOURCES/keda "$new" "-X $module/version.Version=${version#v}" "$module/cmd/$program" || return 1
  done
  cp -R "$(folder_of $SOURCES/keda $module)/config/crd/bases" "$new/crds" && chmod -R u+w "$new/crds" &&
    rm -rf "$MADE/keda-crds" && mv "$new/crds" "$MADE/keda-crds" &&
    mv "$new/operator" "$MADE/keda-operator" && mv "$new/adapter" "$MADE/keda-adapter" && rm -r "$new"
}

# sum_of FOLDER COMMAND: of all that decides what a part is.
sum_of() {
  { find "$1" -maxdepth 1 \( -name 'go.*' -o -name '*.go' \) | sort | xargs cat && declare -f build "$2"; } | cksum
}

# make_part PART FOLDER COMMAND WHAT: unless what was built of the same sources is complete.
make_part() {
  local part=$1 folder=$2 command=$3 what=$4 sum
  sum=$(sum_of "$folder" "$command")
  if [ "$(cat "$MADE/.have-$part" 2>/dev/null)" = "$sum" ]; then return; fi
  command -v go >/dev/null || fail "$what cannot be built: there is no go on PATH." \
    "Install Go 1.26 or later (or 1.21 or later, with GOTOOLCHAIN=auto), and run again."
  say "building $what into $MADE (this folder only)"
  mkdir -p "$MADE" && rm -f "$MADE/.have-$part" && : > "$MADE/.begun-$part"
  attempt "$command" || {
    explain
    fail "$what cannot be built." "${HINTS[@]}"
  }
  printf '%s\n' "$sum" > "$MADE/.have-$part" && rm "$MADE/.begun-$part"
  say "ready: $what"
}

[ $# -gt 0 ] || set -- control-plane kwok keda
for part in "$@"; do
  case $part in
    control-plane)
      make_part "$part" $SOURCES build_control_plane \
        "Kubernetes $(version_of $SOURCES k8s.io/kubernetes)'s control plane" ;;
    kwok)
      make_part "$part" $SOURCES/kwok build_kwok "kwok $(version_of $SOURCES/kwok sigs.k8s.io/kwok)" ;;
    keda)
      make_part "$part" $SOURCES/keda build_keda "KEDA $(version_of $SOURCES/keda github.com/kedacore/keda/v2)" ;;
    *) fail "There is no part $part." "Parts are: control-plane, kwok, keda." ;;
  esac
done
if ! compgen -G "$MADE/.begun-*" >/dev/null; then rm -rf "$OWN"; fi
