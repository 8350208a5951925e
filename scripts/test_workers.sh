#!/bin/sh
# How many test files run side by side: three times the cores, because a test waits for servers longer than it
# computes; and one for each 4 GiB of memory, because a worker that has loaded TFX takes up to 3.
set -eu
cores=$(getconf _NPROCESSORS_ONLN)
if [ -r /proc/meminfo ]; then
  memory=$(awk '/^MemTotal:/ {print int($2 / 1048576 / 4 + 0.5)}' /proc/meminfo)
else
  memory=$((cores))
fi
workers=$((cores * 3))
[ "$workers" -le "$memory" ] || workers=$memory
[ "$workers" -le 8 ] || workers=8
[ "$workers" -ge 1 ] || workers=1
echo "$workers"
