#!/usr/bin/env bash
# Fetches Apache Flink and Beam's job server for it into .toolchain/flink, at the versions that
# tests/e2e/flink/pom.xml names: `make test-flink` runs the data nodes there. Nothing is installed, and
# nothing outside this folder is touched, unless MAVEN_REPOSITORY names Maven's local repository (such as
# ~/.m2/repository). It needs Java 17 and Maven.
#
#   scripts/flink.sh            a minute or two the first time, 150 MB after it; repeating it costs nothing
#   scripts/flink.sh checksums  accept what is fetched now: after a change of the versions
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup/common.sh

SOURCES=tests/e2e/flink
PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:2.8
MADE=$PWD/$TOOLCHAIN/flink
SUMS=$PWD/$SOURCES/checksums.txt
ACCEPT=${1:-}
JAVA=${JAVA_HOME:+$JAVA_HOME/bin/}java
command -v "$JAVA" >/dev/null || fail "Flink cannot run: there is no java on PATH, nor in JAVA_HOME." \
  "Install Java 17 (Debian: openjdk-17-jre-headless), and run again."
VERSION=$("$JAVA" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
version_at_least "${VERSION:-0}" 17 || fail "Flink cannot run here: $JAVA is Java ${VERSION:-of an unknown version}." \
  "Flink needs Java 17. Install it (Debian: openjdk-17-jre-headless), name it by JAVA_HOME, and run again."

if [ "$ACCEPT" = checksums ]; then : > "$SUMS"; fi
stamp() { cat $SOURCES/pom.xml "$SUMS" scripts/flink.sh | cksum; }
# What was fetched for the same files is complete.
STAMP=$(stamp)
if [ -z "$ACCEPT" ] && [ "$(cat "$MADE/.have" 2>/dev/null)" = "$STAMP" ]; then exit 0; fi

command -v mvn >/dev/null || fail "Flink cannot be fetched: there is no mvn on PATH." \
  "Install Maven 3.6 or later (Debian: maven), and run again."

OWN=$PWD/$TOOLCHAIN/maven
REPOSITORY=${MAVEN_REPOSITORY:-$OWN}
NEW=$MADE.new

say "fetching Flink and Beam's job server into $MADE (this folder only)"
rm -rf "$NEW"
attempt mvn --batch-mode --no-transfer-progress --quiet -f $SOURCES/pom.xml "-Dmaven.repo.local=$REPOSITORY" \
  "$PLUGIN:copy-dependencies" "-DoutputDirectory=$NEW" -DincludeScope=runtime || {
  explain
  fail "Maven could not fetch what $SOURCES/pom.xml names." "${HINTS[@]}"
}
checksums() { (cd "$NEW" && find . -name '*.jar' | LC_ALL=C sort | while read -r jar; do
  printf '%s  %s\n' "$(hash_of_input < "$jar")" "$jar"; done); }
if [ "$ACCEPT" = checksums ]; then
  checksums > "$SUMS"
  STAMP=$(stamp)
fi
checksums | cmp -s - "$SUMS" || fail "What Maven fetched is not what $SUMS expects:" \
  "$(checksums | diff "$SUMS" - | head -n 5)" \
  "Delete $REPOSITORY if a download was damaged, and run again."
rm -rf "$MADE"
mv "$NEW" "$MADE"
printf '%s\n' "$STAMP" > "$MADE/.have"
rm -rf "$OWN"
say "ready: $MADE"
