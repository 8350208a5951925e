#!/bin/sh
# How many test files run side by side: twice the cores, because many tests wait for servers, and each worker
# takes 15 seconds to import what is tested; and one for each 4 GiB of memory, because it then takes up to 3.
set -eu
cores=$(getconf _NPROCESSORS_ONLN)
if [ -r /proc/meminfo ]; then
  memory=$(awk '/^MemTotal:/ {print int($2 / 1048576 / 4 + 0.5)}' /proc/meminfo)
else
  memory=$((cores))
fi
workers=$((cores * 2))
[ "$workers" -le "$memory" ] || workers=$memory
[ "$workers" -le 8 ] || workers=8
[ "$workers" -ge 1 ] || workers=1
echo "$workers"
