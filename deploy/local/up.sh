#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A registry of several replicas on one machine, without containers: installs what is missing, builds, starts.
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: deploy/local/up.sh [OPTION]...

Starts Ceph's S3 gateway (in memory), Redis, three replicas of minato on one bucket and nginx in front of them, waits until
all are ready, and says where they listen and how to push and pull. Ctrl-C ends all of it, and what was pushed is gone.

  --port PORT   nginx listens here, the replicas, the store and Redis on the ports behind it (default: free ones)
  --keep        leave the folder with the configurations and logs
  --help        this text
USAGE
}

wrong_usage() {
    echo "up.sh: $1" >&2
    echo "Try 'deploy/local/up.sh --help'." >&2
    exit 2
}

arguments=()
while [[ $# -gt 0 ]]; do
    case $1 in
    --port)
        [[ ${2-} =~ ^[1-9][0-9]{0,4}$ && $2 -lt 65500 ]] || wrong_usage "--port needs a number below 65500"
        arguments+=("$1" "$2")
        shift
        ;;
    --keep) arguments+=("$1") ;;
    --help | -h)
        usage
        exit 0
        ;;
    *) wrong_usage "unknown argument '$1'" ;;
    esac
    shift
done

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=deploy/packages.sh
source "$here/deploy/packages.sh"
# shellcheck source=deploy/build.sh
source "$here/deploy/build.sh"
if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "up.sh: this needs Debian 12 or a relative of it (apt-get is not here)" >&2
    exit 1
fi
install_packages "${build_packages[@]}" "${cluster_packages[@]}"
build_release "$here"
export MINATO_BINARY=$here/build/release/minato PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 "$here/deploy/local/cluster.py" "${arguments[@]}"
