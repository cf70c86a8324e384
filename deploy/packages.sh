# SPDX-License-Identifier: Apache-2.0
#
# The Debian packages minato is built from and tested with, and how to install those that are missing. Sourced by
# deploy/quickstart.sh and tests/run.sh; it defines names and does nothing.

# What the build needs.
build_packages=(
    gcc libc6-dev cmake ninja-build pkg-config
    libh2o-evloop-dev libnghttp2-dev libcurl4-openssl-dev libhiredis-dev libexpat1-dev libisal-dev libs3-dev libssl-dev
    libjansson-dev libyaml-dev libcrypt-dev
)

# What a cluster on one machine is made of (deploy/local), and what starts it.
cluster_packages=(
    ceph-mon ceph-osd radosgw ceph-common redis-server nginx
    python3 curl
)

# What the tests need on top of both. Go is not here: Debian 12 has one too old for the conformance program and the clients
# in Go, which tests/support/go_tools.py builds where a newer one is at hand.
test_packages=(
    libcmocka-dev clang libclang-rt-14-dev llvm clang-format clang-tidy binutils strace valgrind libfaketime
    spin python3-pytest python3-h2 nghttp2-client apache2-utils wrk openssl ca-certificates
    docker.io containerd runc crun iptables podman skopeo buildah docker-registry
)

# install_packages NAME...: installs those that are missing; asks the network for nothing when none is.
install_packages() {
    local missing=() name
    for name in "$@"; do
        if [[ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null || true)" != installed ]]; then
            missing+=("$name")
        fi
    done
    if [[ ${#missing[@]} -eq 0 ]]; then
        return 0
    fi
    local as_root=()
    if [[ $(id -u) -ne 0 ]]; then
        if ! command -v sudo >/dev/null; then
            echo "These packages are missing, and installing them needs root or sudo: ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    echo "Installing ${missing[*]}"
    # An installed daemon must not start by itself: the tests run their own.
    local install=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
        apt-get install -y -q --no-install-recommends -o Dpkg::Use-Pty=0)
    # The lists may be old or absent: refresh them only when they turn out not to do.
    if ! "${as_root[@]}" "${install[@]}" "${missing[@]}" </dev/null >/dev/null 2>&1; then
        "${as_root[@]}" apt-get update -q </dev/null
        "${as_root[@]}" "${install[@]}" "${missing[@]}" </dev/null
    fi
}
