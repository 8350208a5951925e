# Finds a Python 3.11 or 3.12, or fetches one into .toolchain. Sourced by setup.sh.
# shellcheck shell=bash disable=SC2034

MANAGED=$TOOLCHAIN/python-uv
UNPACKED=$TOOLCHAIN/python-debian

# Prints what an interpreter is: its version, kind and processor, its own path, and what changes
# when it is replaced by another. Python 2 can read it too. Within an environment it is the
# interpreter that the environment was made from.
DESCRIBE='
import os, platform, sys
base = getattr(sys, "base_prefix", sys.prefix)
path = sys.executable if base == sys.prefix else getattr(sys, "_base_executable", sys.executable)
print("%d.%d" % tuple(sys.version_info[:2]))
print("%s %s" % (platform.python_implementation(), platform.machine()))
print(os.path.abspath(path))
print("%s %s" % (base, sys.version.replace("\n", " ")))'

# describe COMMAND: sets PY_VERSION, PY_KIND, PY_PATH and PY_IDENTITY; fails where it does not run.
describe() {
  local told
  PY_VERSION='' PY_KIND='' PY_PATH='' PY_IDENTITY=''
  told=$("$1" -c "$DESCRIBE" 2>/dev/null </dev/null) || return 1
  { read -r PY_VERSION && read -r PY_KIND && read -r PY_PATH && read -r PY_IDENTITY; } <<< "$told"
}

# suits COMMAND: whether it is a Python that this project can use; if not, WHY_NOT says why.
suits() {
  if ! command -v "$1" >/dev/null; then WHY_NOT="not found"; return 1; fi
  if ! describe "$1"; then WHY_NOT="$(command -v "$1") does not run"; return 1; fi
  case $PY_VERSION in
    3.11|3.12) ;;
    *) WHY_NOT="$PY_PATH is Python $PY_VERSION, not 3.11 or 3.12"; return 1 ;;
  esac
  case $PY_KIND in
    "CPython x86_64"|"CPython arm64") ;;
    *) WHY_NOT="$PY_PATH is $PY_KIND, not CPython for $(uname -m)"; return 1 ;;
  esac
  [ -x "$PY_PATH" ] || { WHY_NOT="its interpreter $PY_PATH is not there"; return 1; }
}

tried() { say "  $1: $2"; }

# The Python that the caller names is the one, or an error.
named_python() {
  suits "$PYTHON" && { tried "\$PYTHON ($PYTHON)" "$PY_PATH, Python $PY_VERSION"; return; }
  fail "\$PYTHON names '$PYTHON': $WHY_NOT." \
    "Expected: CPython 3.11 or 3.12, which TFX 1.21 has packages for." \
    "Name another one (make setup PYTHON=/path/to/python3.11), or none: one is then found or fetched."
}

python_on_path() {
  local name
  for name in python3 python3.12 python3.11; do
    if suits "$name"; then tried "$name" "$PY_PATH, Python $PY_VERSION"; return; fi
    tried "$name" "$WHY_NOT"
  done
  return 1
}

# Those that are on no PATH, and those behind others of the same name.
python_known_to_uv() {
  local found
  found=$("$UV" python find --system --no-project --no-python-downloads '>=3.11,<3.13' 2>/dev/null) ||
    { tried "uv python find" "none"; return 1; }
  suits "$found" || { tried "uv python find" "$WHY_NOT"; return 1; }
  tried "uv python find" "$PY_PATH, Python $PY_VERSION"
}

python_fetched_before() {
  local python
  for python in "$MANAGED"/cpython-3.11*/bin/python3.11 "$UNPACKED/usr/bin/python3.11"; do
    if suits "$python"; then tried "in $TOOLCHAIN" "$PY_PATH, Python $PY_VERSION"; return; fi
  done
  return 1
}

python_by_uv() {
  # One more try is enough: where the machine cannot reach it, it never can.
  if ! attempt env UV_HTTP_RETRIES="${UV_HTTP_RETRIES:-1}" \
    "$UV" python install --no-progress --no-bin --install-dir "$MANAGED" 3.11; then
    tried "uv python install 3.11" "could not be fetched (${OUTPUT##*cause: })"
    return 1
  fi
  tried "uv python install 3.11" "put one into $MANAGED"
  python_fetched_before
}

python_of_debian() {
  if ! fetch_debian_python; then tried "Debian 12's python3.11" "$WHY_NOT"; return 1; fi
  tried "Debian 12's python3.11" "unpacked into $UNPACKED"
  python_fetched_before
}

# find_python: sets PY_PATH and the rest, or fails.
find_python() {
  say "looking for Python 3.11 or 3.12"
  if [ -n "${PYTHON:-}" ]; then named_python; return; fi
  if python_on_path; then return; fi
  make_tools  # uv, by whatever Python there is
  if python_known_to_uv || python_fetched_before || python_by_uv || python_of_debian; then return; fi
  fail "no Python 3.11 or 3.12 was found, and none could be fetched (see the lines above)." \
    "Install one (Debian 12: apt-get install python3 python3-venv; Ubuntu 24.04: the same; Fedora:" \
    "dnf install python3.12; macOS: brew install python@3.12; anywhere: uv python install 3.12)," \
    "or name one that is not on PATH: make setup PYTHON=/path/to/python3.11"
}
