#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds minato, minato-bench and the limits, measures minato beside other registries on a folder and on Ceph's gateway,
# and prints the tables. See ../README.md, "Beside the peers"; options: run.sh --help.
set -euo pipefail
cd "$(dirname "$0")/../.."

for argument in "$@"; do
    case $argument in
    --no-build | -h | --help | --list) exec python3 bench/compare/compare.py "$@" ;;
    esac
done

missing=()
for tool in cmake ninja wrk docker-registry htpasswd taskset setpriv python3 radosgw redis-server; do
    command -v "$tool" >/dev/null || missing+=("$tool")
done
if ((${#missing[@]})); then
    echo "run.sh: not installed: ${missing[*]}" >&2
    echo "  apt-get install cmake ninja-build wrk docker-registry apache2-utils util-linux python3" \
        "ceph-mon ceph-osd radosgw ceph-common redis-server" >&2
    exit 2
fi
cmake --preset release >/dev/null && cmake --build --preset release >&2
cmake --preset bench >/dev/null && cmake --build --preset bench >&2
exec python3 bench/compare/compare.py "$@"
