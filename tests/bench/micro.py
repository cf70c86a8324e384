# SPDX-License-Identifier: Apache-2.0
"""bench/micro: its hot functions give the answers they are known to give, and what it counts is the same each time."""
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "bench" / "harness"))

import micro  # noqa: E402

CHECKED, COUNTED = (ROOT / "build" / preset / "bench" / "micro" / "micro" for preset in ("asan", "release"))


def test_every_hot_function_gives_its_known_answer():
    names = micro.names_of(CHECKED)
    assert len(names) >= 8
    for name in names:
        done = subprocess.run([CHECKED, name, "3", "once"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{name}: {done.stderr}"


def test_a_function_that_is_not_there_is_refused():
    done = subprocess.run([CHECKED, "no such function", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "usage" in done.stderr


@pytest.mark.parametrize("name", ["route match", "access log line", "path of a blob"])
def test_two_counts_of_one_function_agree(name):
    counts = [micro.cost_of_a_call(COUNTED, name) for _ in range(2)]
    assert counts[0][0] == pytest.approx(counts[1][0], rel=0.01), counts
    assert counts[0][1] == counts[1][1], counts
