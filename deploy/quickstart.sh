#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# From a fresh Debian 12 to a running registry: installs what is missing, builds, starts. Needs only apt's mirror.
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: deploy/quickstart.sh [OPTION]...

Installs the packages that are missing, builds minato and starts it. Ctrl-C stops it cleanly.

  --listen ADDRESS   listen here (default 127.0.0.1:5000)
  --data FOLDER      keep everything below this folder (default ./minato-data)
  --config FILE      read this configuration; --listen and --data, when given, override it
  --no-run           install and build only; the program is build/release/minato
  --help             this text
USAGE
}

wrong_usage() {
    echo "quickstart.sh: $1" >&2
    echo "Try 'deploy/quickstart.sh --help'." >&2
    exit 2
}

listen=
data=
config=
run=yes
while [[ $# -gt 0 ]]; do
    option=$1
    shift
    case $option in
    --listen | --data | --config)
        [[ $# -gt 0 && -n $1 ]] || wrong_usage "$option needs a value"
        case $option in
        --listen) listen=$1 ;;
        --data) data=$1 ;;
        --config) config=$1 ;;
        esac
        shift
        ;;
    --listen=* | --data=* | --config=*)
        value=${option#*=}
        [[ -n $value ]] || wrong_usage "${option%%=*} needs a value"
        case $option in
        --listen=*) listen=$value ;;
        --data=*) data=$value ;;
        --config=*) config=$value ;;
        esac
        ;;
    --no-run) run= ;;
    --help | -h)
        usage
        exit 0
        ;;
    -*) wrong_usage "unknown option '$option'" ;;
    *) wrong_usage "unexpected argument '$option'" ;;
    esac
done
if [[ -n $config && ! -r $config ]]; then
    wrong_usage "--config: cannot read '$config'"
fi
if [[ -n $listen && ! $listen =~ ^(\[[0-9a-fA-F:.]+\]|[^:/]*):[0-9]+$ ]]; then
    wrong_usage "--listen takes HOST:PORT, not '$listen'"
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/packages.sh
source "$here/deploy/packages.sh"
# shellcheck source=deploy/build.sh
source "$here/deploy/build.sh"
if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "quickstart.sh: this needs Debian 12 or a relative of it (apt-get is not here)" >&2
    exit 1
fi
install_packages "${build_packages[@]}"

build_release "$here"
program=$here/build/release/minato
if [[ -z $run ]]; then
    echo "Built $program"
    exit 0
fi

# What no option says, the environment, the configuration and the defaults say: the program knows.
arguments=(serve)
address=${listen:-the configured address}
if [[ -n $config ]]; then
    arguments+=(--config "$config")
elif [[ -z $listen && -z ${MINATO_HTTP_LISTEN:-} ]]; then
    listen=127.0.0.1:5000
    address=$listen
fi
if [[ -n $listen ]]; then
    arguments+=(--listen "$listen")
fi
if [[ -n $data ]]; then
    arguments+=(--data "$data")
fi
registry=ADDRESS
where=' with its address for ADDRESS'
if [[ -n $listen ]]; then
    registry=${listen/#127.0.0.1:/localhost:}
    registry=${registry/#:/localhost:}
    where=
fi
cat <<NEXT

Starting minato on $address. When it says "listening", type in another terminal$where:

  docker pull alpine && docker tag alpine $registry/demo/alpine && docker push $registry/demo/alpine
  curl http://$registry/v2/demo/alpine/tags/list

Ctrl-C stops it.

NEXT
# The server itself takes the signals from here on: it drains and exits with 0.
exec "$program" "${arguments[@]}"
