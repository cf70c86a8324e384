# SPDX-License-Identifier: Apache-2.0
#
# How deploy/quickstart.sh and deploy/local/up.sh build the program. Sourced; it defines a name and does nothing.

# build_release ROOT: build/release/minato, of the tree at ROOT; one at a time. Says what failed and exits with 1.
build_release() {
    local log=$1/build/release.log
    mkdir -p "$1/build"
    if ! (cd "$1" && flock build/release.lock sh -c 'cmake --preset release && cmake --build --preset release') >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        echo "The build failed; all of its output is in $log" >&2
        exit 1
    fi
}
