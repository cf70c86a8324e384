# SPDX-License-Identifier: Apache-2.0
"""Dependencies point down only: every #include against layers.txt."""
import re
from pathlib import Path

import pytest
from minato import ROOT

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)


def read_table():
    levels, owners, allowed = {}, {}, set()
    for line in (Path(__file__).parent / "layers.txt").read_text().splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] == "allow":
            allowed.add((words[1], words[2]))
            continue
        levels[words[1]] = int(words[0])
        for door in words[2:]:
            owners.setdefault(door, words[1])
    return levels, owners, allowed


LEVELS, OWNERS, ALLOWED = read_table()


def folder_of(path):
    """The folder of the table a source belongs to."""
    relative = str(path.relative_to(ROOT))
    found = [folder for folder in LEVELS if relative == folder or relative.startswith(folder + "/")]
    return max(found, key=len) if found else None


def sources():
    return sorted([*ROOT.glob("src/**/*.[ch]"), *ROOT.glob("storage-drivers/**/*.[ch]")])


def doors():
    return sorted(ROOT.glob("include/minato/*.h"))


def test_every_source_belongs_to_a_layer():
    assert [str(path) for path in sources() if folder_of(path) is None] == []


def test_every_door_belongs_to_a_layer():
    assert [path.stem for path in doors() if path.stem not in OWNERS] == []


def test_every_folder_of_the_table_is_there():
    assert [folder for folder in LEVELS if not (ROOT / folder).exists()] == []


@pytest.mark.parametrize("folder", sorted(LEVELS))
def test_includes_point_down(folder):
    wrong = []
    for path in sources():
        if folder_of(path) != folder:
            continue
        for quote, name in INCLUDE.findall(path.read_text()):
            what = f"{path.relative_to(ROOT)} includes {name}"
            door = re.fullmatch(r"minato/(\w+)\.h", name)
            if door:
                owner = OWNERS.get(door.group(1))
                own = owner == folder
                below = owner is not None and LEVELS[owner] < LEVELS[folder]
                if not own and not below and (folder, door.group(1)) not in ALLOWED:
                    wrong.append(f"{what}: level {LEVELS.get(owner, '?')} from level {LEVELS[folder]}")
            elif quote == '"':
                beside = (path.parent / name).resolve()
                if not beside.exists() or folder_of(beside) != folder:
                    wrong.append(f"{what}: not a private header of {folder}")
    assert wrong == []


@pytest.mark.parametrize("door", [path.stem for path in doors()])
def test_door_includes_only_doors_it_may(door):
    owner = OWNERS[door]
    wrong = []
    for quote, name in INCLUDE.findall((ROOT / "include" / "minato" / f"{door}.h").read_text()):
        found = re.fullmatch(r"minato/(\w+)\.h", name)
        if not found:
            if quote == '"':
                wrong.append(f"{name}: not a door")
            continue
        other = OWNERS.get(found.group(1))
        if other != owner and LEVELS[other] >= LEVELS[owner] and (owner, found.group(1)) not in ALLOWED:
            wrong.append(f"{name}: level {LEVELS[other]} from level {LEVELS[owner]}")
    assert wrong == []


def test_nobody_includes_a_driver():
    names = {path.name for path in ROOT.glob("storage-drivers/**/*.h")}
    wrong = [f"{path.relative_to(ROOT)}: {name}" for path in sources() if folder_of(path) != "storage-drivers"
             for _, name in INCLUDE.findall(path.read_text()) if Path(name).name in names]
    assert wrong == []
