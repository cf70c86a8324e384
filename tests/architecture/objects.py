# SPDX-License-Identifier: Apache-2.0
"""Checks on what the compiler made: no mutable file-level data, doors that compile alone."""
import subprocess

import pytest
from minato import ROOT, binary

DOORS = sorted(path.stem for path in (ROOT / "include" / "minato").glob("*.h"))

# Symbol -> why it may change. Everything else belongs to a struct that has an owner (STYLE.md, rule 9).
EXCEPTIONS = {
    "completed.0": "gcc's own, in every program",
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_door_compiles_alone(tmp_path, door, compiler):
    source = tmp_path / "door.c"
    source.write_text(f'#include "minato/{door}.h"\n#include "minato/{door}.h"\nint door_unused;\n')
    done = subprocess.run([compiler, "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                           "-I", str(ROOT / "include"), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def archives():
    folder = binary().parent
    return sorted([*folder.glob("src/*/libminato_*.a"), *folder.glob("storage-drivers/*.a")])


def test_archives_are_there():
    assert len(archives()) >= 10


@pytest.mark.parametrize("archive", archives(), ids=lambda path: path.stem)
def test_no_mutable_data_outside_of_structs(archive):
    lines = subprocess.run(["nm", "--defined-only", "-A", str(archive)], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    found = []
    for line in lines:
        where, rest = line.rsplit(":", 1)
        kind, name = rest.split()[1:3]
        # b, d: .bss and .data; C: common. .data.rel.ro (constants with addresses) is marked d by nm too.
        if kind in "bBCsSgG" or (kind in "dD" and not is_constant(archive, where, name)):
            if name not in EXCEPTIONS:
                found.append(f"{where.rsplit(':', 1)[-1]}: {name} ({kind})")
    assert found == []


def is_constant(archive, where, name):
    """Whether a symbol that nm calls data lies in .data.rel.ro: constant once it is loaded."""
    member = where.rsplit(":", 1)[-1]
    table = subprocess.run(["objdump", "-t", str(archive)], check=True, capture_output=True, text=True).stdout
    parts = f"\n{table}".split(f"\n{member}:")[1:]  # drivers have files of the same name
    lines = [line for part in parts for line in part.split("file format", 2)[1].splitlines()]
    return any(line.endswith(f" {name}") and ".data.rel.ro" in line for line in lines)
