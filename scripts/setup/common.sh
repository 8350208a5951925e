# What setup.sh and the scripts beside it have in common. Sourced, in the repository's root.
# shellcheck shell=bash disable=SC2034

TOOLCHAIN=.toolchain
TOOLS=$TOOLCHAIN/tools
UV=$PWD/$TOOLS/bin/uv

say()  { printf '\033[1m[setup]\033[0m %s\n' "$*"; }

# fail WHAT NEXT...: what was wrong, then what to do, a line each.
fail() {
  printf '[setup] ERROR: %s\n' "$1" >&2
  shift
  if [ $# -gt 0 ]; then printf '%s\n' "$@" | sed 's/^/        /' >&2; fi
  exit 1
}

# The caller's choices must not leak into the environments that are built here.
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME UV_PROJECT_ENVIRONMENT UV_PYTHON
export PATH  # in an empty environment bash has one, and its children none
# Nor may .venv's own Python be found where it is active: it is what is made anew.
case :$PATH: in
  *":$PWD/.venv/bin:"*) PATH=$(printf %s ":$PATH:" | sed "s#:$PWD/\.venv/bin:#:#g; s#^:##; s#:\$##") ;;
esac

# The certificates that the machine trusts, its own proxy's among them, for pip and for uv, which
# otherwise trust a list that they bring along. What the caller has set stays.
use_machine_certificates() {
  local bundle=${SSL_CERT_FILE:-} candidate
  for candidate in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \
    /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
    if [ -z "$bundle" ] && [ -s "$candidate" ]; then bundle=$candidate; fi
  done
  if [ -n "$bundle" ] || [ "$(uname -s)" = Darwin ]; then
    export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-1}
  fi
  CERTIFICATES=$bundle
}

# attempt COMMAND...: runs it quietly; what it printed is in $OUTPUT.
attempt() {
  OUTPUT=$("$@" 2>&1 </dev/null)
}

# What may be behind the words in $OUTPUT, and what to do: lines for `fail`, in the array HINTS.
explain() {
  HINTS=("$OUTPUT")
  case $OUTPUT in
    *"No space left on device"*|*"Disk quota exceeded"*|*"os error 28"*)
      HINTS+=("The disk is full: $(free_mb) MB are free here. A first set-up takes about $NEEDED_MB MB, here and in"
        "uv's cache (~/.cache/uv; UV_CACHE_DIR names another place). Make room and run again.") ;;
    *[Cc]ertificate*|*CERTIFICATE*|*UnknownIssuer*|*"SSL: "*)
      HINTS+=("The server's certificate is not trusted here: perhaps there is a proxy that signs with its own. Install"
        "the proxy's certificate on this machine (Debian: into /usr/local/share/ca-certificates, then"
        "update-ca-certificates), or name a bundle that has it: SSL_CERT_FILE=/path/to/bundle.pem") ;;
    *"Permission denied"*|*"Read-only file system"*|*"Operation not permitted"*)
      HINTS+=("A folder named above cannot be written by $(id -un 2>/dev/null || id -u). uv's cache can be elsewhere: UV_CACHE_DIR.") ;;
    *"dns error"*|*"name resolution"*|*"ame or service not known"*|*"nodename nor servname"*|*"onnection refused"*|\
    *"NewConnectionError"*|*"Network is unreachable"*|*"timed out"*|*"error sending request"*|*"Could not resolve"*|\
    *"Temporary failure resolving"*|*"Could not connect"*|*"Unable to connect"*)
      HINTS+=("No network, or a package index that cannot be reached. Behind a proxy set https_proxy and http_proxy;"
        "an index of one's own is named to pip by PIP_INDEX_URL. Then run again: what was fetched is kept.") ;;
  esac
}

# On this folder's disk. About what a first set-up takes: packages, and their byte code.
NEEDED_MB=4500
free_mb() { df -Pk . | awk 'NR == 2 {print int($4 / 1024)}'; }

hash_of_input() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1
}

# version_at_least HAVE WANTED
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# make_peers FOLDER PACKAGE...: an environment beside .venv, on the same Python, with other packages.
make_peers() {
  local folder=$1
  shift
  scripts/setup.sh
  if [ "$(cat "$folder/.have" 2>/dev/null || true)" = "$*" ]; then return; fi
  use_machine_certificates
  say "making $folder: $*"
  attempt "$UV" venv --quiet --clear --python .venv/bin/python "$folder" || {
    explain
    fail "uv could not make $folder." "${HINTS[@]}"
  }
  attempt "$UV" pip install --quiet --python "$folder/bin/python" "$@" || {
    explain
    fail "uv could not install into $folder: $*" "${HINTS[@]}"
  }
  echo "$*" > "$folder/.have"
  say "ready: $folder"
}
