#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What minato asks of the kernel for each kind of request, counted by strace. Build with run.sh first.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 bench/harness/syscalls.py "$@"
