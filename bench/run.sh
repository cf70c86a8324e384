#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds minato, the bare libh2o handler and the load clients, measures them beside Debian's docker-registry, and
# prints a table. See README.md; options: run.sh --help.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for tool in cmake ninja wrk docker-registry strace htpasswd h2load curl openssl taskset setpriv python3 radosgw redis-server; do
    command -v "$tool" >/dev/null || missing+=("$tool")
done
if ((${#missing[@]})); then
    echo "run.sh: not installed: ${missing[*]}" >&2
    echo "  apt-get install cmake ninja-build wrk docker-registry strace apache2-utils nghttp2-client curl openssl util-linux python3" \
        "ceph-mon ceph-osd radosgw ceph-common redis-server" >&2
    exit 2
fi

build=1
for argument in "$@"; do
    case $argument in --no-build | -h | --help) build=0 ;; esac
done
if ((build)); then
    cmake --preset release >/dev/null && cmake --build --preset release >&2
    cmake --preset bench >/dev/null && cmake --build --preset bench >&2
fi
exec python3 bench/harness/main.py "$@"
