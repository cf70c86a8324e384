#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the hot functions and prints what one call of each costs: time, allocations, instructions. See ../README.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
for tool in cmake ninja valgrind python3; do
    command -v "$tool" >/dev/null || { echo "run.sh: not installed: $tool" >&2; exit 2; }
done
cmake --preset bench >/dev/null && cmake --build --preset bench --target micro >&2
exec python3 bench/harness/micro.py "$@"
