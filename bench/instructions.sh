#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Where the instructions of a request go, counted by callgrind. Build with run.sh first.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 bench/harness/instructions.py "$@"
