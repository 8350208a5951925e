#!/usr/bin/env bash
# Tries the project on a bare Debian: a root folder made by debootstrap with `python3`,
# `python3-venv`, `make`, `git` and `ca-certificates`, a clone of this repository's last commit
# in it, an empty environment.
#
#   scripts/try_bare.sh [--keep] [--root FOLDER] SUITE [WHAT...]
#
#   SUITE           bookworm, trixie, ...
#   WHAT            a target of the Makefile or, where it has a space or a slash, a command;
#                   without any: demo test
#   --root FOLDER   where the root is made (build/bare/SUITE)
#   --keep          leave it there; the next try begins with it, clones anew and has what uv has
#                   fetched. Without, a root that was made for this try is removed in the end.
#
# Needs root, for chroot and mounts; these are in a namespace that ends with the script. What the
# machine says of its Debian mirror, its package index, its proxy and its certificates holds
# within, too; nothing else of it does. Not part of CI: debootstrap takes minutes, and the packages
# are fetched anew.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup/common.sh
. scripts/setup/debian.sh

# What may be passed on.
VARIABLES=(http_proxy https_proxy no_proxy all_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY
  PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_PROXY PIP_DEFAULT_TIMEOUT PIP_RETRIES
  UV_DEFAULT_INDEX UV_INDEX UV_INDEX_URL UV_EXTRA_INDEX_URL UV_INSECURE_HOST UV_HTTP_TIMEOUT)

# The home folder within the root, and where the clone is made.
WITHIN=/srv

usage() { sed -n '/^#   scripts/,/^# Needs/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2; exit 2; }

make_root() {
  local mirror
  mirror=$(debian_mirror)
  say "making $ROOT with debootstrap ($SUITE)"
  rm -rf "$ROOT.new"
  mkdir -p "$ROOT.new"
  eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy 2>/dev/null | sed 's/^/export /' || true)"
  attempt debootstrap --variant=minbase --include=python3,python3-venv,make,git,ca-certificates \
    "$SUITE" "$ROOT.new" ${mirror:+"$mirror"} || fail "debootstrap failed." "$(printf '%s\n' "$OUTPUT" | tail -n 20)"
  mv "$ROOT.new" "$ROOT"
}

# The machine's own mirror settings, index and certificates.
pass_on() {
  local bundle=/etc/ssl/certs/ca-certificates.crt file
  apt-config dump Acquire > "$ROOT/etc/apt/apt.conf.d/90machine"
  cp -L /etc/resolv.conf /etc/hosts "$ROOT/etc/"
  if [ -s "${SSL_CERT_FILE:-$bundle}" ]; then cp -L "${SSL_CERT_FILE:-$bundle}" "$ROOT$bundle"; fi
  for file in /etc/pip.conf "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf"; do
    if [ -e "$file" ]; then install -D -m 600 "$file" "$ROOT${file/#$HOME\//$WITHIN/}"; fi
  done
}

# run COMMAND: in the clone, in the root, with nothing of this environment but $VARIABLES.
run() {
  local name given=()
  for name in "${VARIABLES[@]}"; do
    if [ -n "${!name:-}" ]; then given+=("$name=${!name}"); fi
  done
  # Whatever is mounted or still runs when the command has ended, ends with the namespaces.
  unshare --mount --propagation private --pid --fork --kill-child --uts --ipc bash -euc '
    mount --rbind "$1" "$1"  # a root is a mount point: namespaces can be made in it as in any other
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    mount -t tmpfs -o size=4g shm "$1/dev/shm"
    mount --rbind -o ro /sys "$1/sys"
    exec chroot "$1" /usr/bin/env -i HOME="$3" LANG=C.UTF-8 \
      PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      "${@:4}" bash -c "cd $3/tallygraph && $2"' bash "$ROOT" "$1" "$WITHIN" "${given[@]}"
}

# Read whole before it begins, which takes long: the file may change meanwhile.
main() {
  local tool what command began
  KEEP='' ROOT='' SUITE=''
  while [ $# -gt 0 ]; do
    case $1 in
      --keep) KEEP=yes ;;
      --root) ROOT=${2:-}; [ -n "$ROOT" ] || usage; shift ;;
      -*) usage ;;
      *) SUITE=$1; shift; break ;;
    esac
    shift
  done
  [ -n "$SUITE" ] || usage
  [ $# -gt 0 ] || set -- demo test
  ROOT=$(realpath -m "${ROOT:-build/bare/$SUITE}")

  [ "$(id -u)" = 0 ] || fail "this needs root: debootstrap and chroot do." "Run: sudo scripts/try_bare.sh $SUITE $*"
  for tool in debootstrap unshare chroot git; do
    command -v $tool >/dev/null || fail "'$tool' was not found." "On Debian: apt-get install debootstrap util-linux coreutils git"
  done

  if [ ! -d "$ROOT" ]; then
    [ -n "$KEEP" ] || trap 'rm -rf --one-file-system "$ROOT" "$ROOT.new"' EXIT
    make_root
  fi
  pass_on
  rm -rf "$ROOT$WITHIN/tallygraph"
  # The checkout may be of the user who ran this by sudo: git asks for a word on that.
  printf '[safe]\n\tdirectory = *\n' > "$ROOT/gitconfig"
  export GIT_CONFIG_GLOBAL=$ROOT/gitconfig
  git clone --quiet "$PWD" "$ROOT$WITHIN/tallygraph"
  say "$SUITE: $(git log -1 --format='%h %s')"
  [ -z "$(git status --porcelain)" ] || say "what is not committed here is not part of it"

  for what in "$@"; do
    case $what in
      *[\ /]*) command=$what ;;
      *) command="make $what" ;;
    esac
    say "$SUITE: $command"
    began=$SECONDS
    run "$command" </dev/null || fail "$SUITE: '$command' failed after $((SECONDS - began)) s."
    say "$SUITE: '$command' took $((SECONDS - began)) s"
  done
}

main "$@"; exit
