# SPDX-License-Identifier: Apache-2.0
"""Functions of at most 100 lines, files of 800, doors of 300. The aim is 60, 500 and 250."""
import re

import pytest
from minato import ROOT
from source_rules import without_comments

FUNCTION_LINES = 100
FILE_LINES = 800
DOOR_LINES = 300


def c_files():
    folders = ("src", "storage-drivers", "include", "tests", "bench")
    return sorted(path for folder in folders for path in ROOT.glob(f"{folder}/**/*.[ch]"))


def functions(text):
    """(name, first line, last line) of each function: in this style its braces stand in the first column."""
    lines = without_comments(text).splitlines()
    begin = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            begin = number
        elif line.startswith("}") and begin is not None:
            name = "?"
            for back in range(begin - 1, max(begin - 8, 0), -1):
                found = re.search(r"(\w+)\s*\(", lines[back - 1])
                if found and not lines[back - 1].startswith((" ", "\t")):
                    name = found.group(1)
                    break
            yield name, begin, number
            begin = None


@pytest.mark.parametrize("path", c_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_source_keeps_its_budget(path):
    text = path.read_text()
    limit = DOOR_LINES if path.parent == ROOT / "include" / "minato" else FILE_LINES
    assert text.count("\n") <= limit
    too_long = [f"{name} at line {begin}: {end - begin + 1} lines" for name, begin, end in functions(text)
                if end - begin + 1 > FUNCTION_LINES]
    assert too_long == []


def test_functions_are_found():
    """The checks above would pass on anything if this did not count."""
    assert sum(len(list(functions(path.read_text()))) for path in c_files()) > 300
