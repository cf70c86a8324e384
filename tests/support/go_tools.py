#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs of others that are written in Go: the OCI conformance program, and clients and registries that Debian does not
carry.

Each is pinned, built once by `go install` into ${XDG_CACHE_HOME:-~/.cache}/minato-tests, and never in the tree. Without
a Go that can build it, a program is missing() with the reason, and what needs it counts as skipped.

    tests/support/go_tools.py [NAME]...     builds those that are not there yet; without a name, all
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# name: package, version, the oldest Go that builds it
TOOLS = {
    "conformance": ("github.com/opencontainers/distribution-spec/conformance",
                    "v0.0.0-20260831232431-97274622c111", (1, 24)),
    "crane": ("github.com/google/go-containerregistry/cmd/crane", "v0.22.1", (1, 25)),
    "oras": ("oras.land/oras/cmd/oras", "v1.3.6", (1, 26)),
    "regctl": ("github.com/regclient/regclient/cmd/regctl", "v0.11.7", (1, 26)),
    "helm": ("helm.sh/helm/v3/cmd/helm", "v3.22.0", (1, 26)),
    "cosign": ("github.com/sigstore/cosign/v3/cmd/cosign", "v3.1.3", (1, 26)),
    "distribution": ("github.com/distribution/distribution/v3/cmd/registry", "v3.1.2", (1, 26)),
    "zot": ("zotregistry.dev/zot/v2/cmd/zot", "v2.1.17", (1, 26)),
}
TAGS = {"zot": ("-tags", "containers_image_openpgp")}  # its core alone, as its own minimal build


def path(name):
    """Where the program is, once it is built."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "minato-tests" / f"{name}-{TOOLS[name][1]}"


def go():
    """The go command and its version as (1, 26); (None, None) when there is none."""
    program = shutil.which("go")
    if program is None:
        return None, None
    said = subprocess.run([program, "version"], capture_output=True, text=True, env=_environment(), check=False).stdout
    found = re.search(r"\bgo(\d+)\.(\d+)", said)
    return (program, (int(found.group(1)), int(found.group(2)))) if found else (None, None)


def missing(name):
    """Why the program cannot be had here, or None."""
    if path(name).exists():
        return None
    program, version = go()
    needed = TOOLS[name][2]
    if program is None:
        return f"{name} needs Go {needed[0]}.{needed[1]}, and there is no go command"
    if version < needed:
        return f"{name} needs Go {needed[0]}.{needed[1]}, and this is Go {version[0]}.{version[1]}"
    return None


def build(name):
    """Builds the program if it is not there yet. A failure raises CalledProcessError, with what go said in stderr."""
    target = path(name)
    if target.exists():
        return target
    package, version, _ = TOOLS[name]
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="building-") as folder:
        subprocess.run([go()[0], "install", "-p", "2", *TAGS.get(name, ()), f"{package}@{version}"], check=True,
                       capture_output=True, text=True, cwd=folder, env=_environment(GOBIN=folder, CGO_ENABLED="0"))
        os.replace(Path(folder) / Path(package).name, target)
    return target


def _environment(**more):
    """This machine's own: what is downloaded may need its proxies. Only the Go that is here, no other toolchain."""
    return {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", **more}


def main(names):
    code = 0
    for name in names or TOOLS:
        why = missing(name)
        if why:
            print(f"skipped: {why}")
            continue
        try:
            print(build(name))
        except subprocess.CalledProcessError as error:
            print(f"{name} does not build:\n{error.stderr[-4000:]}", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
