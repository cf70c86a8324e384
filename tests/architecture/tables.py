# SPDX-License-Identifier: Apache-2.0
"""The tables and what must keep up with them: every route has an API test, every key is in the example."""
import re
import sys
from pathlib import Path

from minato import ROOT

sys.path.insert(0, str(ROOT / "tests" / "api"))

import every_route  # noqa: E402

ROUTE = re.compile(r'^\s*\{"(\w+)",\s*(?:GET|HEAD|PUT|POST|PATCH|DELETE)\b', re.M)
KEY = re.compile(r'^\s*\{"([a-z_0-9.]+)",\s*CONFIG_', re.M)
SECRET = re.compile(r'^\s*\{"([a-z_0-9.]+)",\s*CONFIG_SECRET', re.M)


def test_every_route_has_an_api_test():
    routes = set(ROUTE.findall((ROOT / "src" / "api" / "route_table.c").read_text()))
    assert len(routes) > 10, "the table was not found"
    assert routes - set(every_route.ROUTES) == set(), "no request in tests/api/every_route.py"
    assert set(every_route.ROUTES) - routes == set(), "no such route any more"


def example_keys():
    """Dotted names in the example, also those that are commented out with a single #."""
    keys, path = set(), []
    for line in (ROOT / "deploy" / "config" / "minato.yaml").read_text().splitlines():
        found = re.match(r"( *)#?([a-z_0-9]+):(?: |$)", line)
        if not found:
            continue
        depth = len(found.group(1)) // 2
        path = path[:depth] + [found.group(2)]
        keys.add(".".join(path))
    return keys


def test_every_key_is_in_the_example():
    text = (ROOT / "src" / "config" / "keys.c").read_text()
    keys = set(KEY.findall(text)) | {f"{name}_file" for name in SECRET.findall(text)}
    assert len(keys) > 15, "the table was not found"
    assert sorted(keys - example_keys()) == []


def test_example_has_no_key_that_is_none():
    keys = set(KEY.findall((ROOT / "src" / "config" / "keys.c").read_text()))
    sections = {".".join(key.split(".")[:n]) for key in keys for n in range(1, key.count(".") + 1)}
    secrets = {f"{key}_file" for key in keys}
    assert sorted(example_keys() - keys - sections - secrets) == []


def test_every_subsystem_says_what_it_is():
    """A README beside each subsystem and driver, of at most 80 lines."""
    folders = [path for path in [*(ROOT / "src").iterdir(), *(ROOT / "storage-drivers").iterdir()] if path.is_dir()]
    missing = [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "README.md").exists()]
    long = [str(path.relative_to(ROOT)) for folder in folders for path in folder.glob("README.md")
            if len(path.read_text().splitlines()) > 80]
    assert (missing, long) == ([], [])


def test_every_unit_test_mirrors_a_subsystem():
    known = {path.name for path in (ROOT / "src").iterdir()} | {"drivers"}  # of storage-drivers
    assert [path.name for path in Path(ROOT / "tests" / "unit").iterdir() if path.name not in known] == []
