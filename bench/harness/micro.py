# SPDX-License-Identifier: Apache-2.0
"""bench/micro/run.sh: ns, allocations and instructions a call. The last two are the difference of two runs under callgrind
that call the function a different number of times: what surrounds the calls is in both."""

import argparse
import os
import subprocess
import sys
import tempfile

from callgrind import read_profile
from processes import SERVER_CORE, clean_environment
from results import format_markdown, format_text

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MICRO = os.path.join(ROOT, "build", "bench", "bench", "micro", "micro")
CALLS = 200
TIMED_CALLS = 20_000
ALLOCATORS = ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc")


def run(*command):
    done = subprocess.run(list(map(str, command)), env=clean_environment(), check=True, capture_output=True, text=True)
    return done.stdout


def profile(micro, name, count):
    """(instructions, allocations) of the whole program that calls the function `count` times."""
    with tempfile.TemporaryDirectory(prefix="minato-micro-") as folder:
        path = os.path.join(folder, "profile")
        run("valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={path}", micro, name, count, "once")
        own, calls = read_profile(path)
    return sum(own.values()), sum(calls[name] for name in ALLOCATORS)


def cost_of_a_call(micro, name):
    """(instructions, allocations)"""
    few, many = profile(micro, name, CALLS), profile(micro, name, 2 * CALLS)
    return tuple((after - before) / CALLS for before, after in zip(few, many))


def names_of(micro):
    return run(micro).splitlines()


def measure(micro):
    rows = [("function", "ns a call", "allocations a call", "instructions a call")]
    for name in names_of(micro):
        time_ns = float(run("taskset", "-c", SERVER_CORE, micro, name, TIMED_CALLS))
        instructions, allocations = cost_of_a_call(micro, name)
        rows.append((name, f"{time_ns:,.0f}", f"{allocations:g}", f"{instructions:,.0f}"))
    return rows


def main():
    parser = argparse.ArgumentParser(prog="bench/micro/run.sh")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--micro", default=MICRO, help="the program, built")
    arguments = parser.parse_args()
    rows = measure(arguments.micro)
    print(format_markdown(rows) if arguments.markdown else format_text(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
