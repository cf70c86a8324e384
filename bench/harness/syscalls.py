# SPDX-License-Identifier: Apache-2.0
"""bench/syscalls.sh: system calls a request, by scenario, of one fresh server each."""

import argparse
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

from image import push_image
from main import ROOT, find_tools, say
from measures import MANIFEST_PATH, Bench, run_wrk
from processes import LOAD_CORE, BenchError, Stage
from results import Results, format_markdown, format_text
from servers import DockerRegistry, Minato


class CallCount:
    """strace -c on all threads of a server."""

    def __init__(self, stage, server):
        self.stage = stage
        self.path = os.path.join(server.scratch, "strace-c")
        self.tracer = stage.start(["strace", "-f", "-c", "-o", self.path, "-p", str(server.pid)],
                                  stderr=subprocess.PIPE, text=True)
        if "attached" not in self.tracer.stderr.readline():
            raise BenchError("strace cannot attach")

    def finish(self):
        self.stage.end(self.tracer, signal.SIGINT)
        self.tracer.stderr.close()
        calls = {}
        with open(self.path, encoding="ascii") as table:
            for line in table:
                row = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
                if row and row.group(2) != "total":
                    calls[row.group(2)] = int(row.group(1))
        return calls


# Each scenario returns by how many units the calls are divided.
def ping_saturated(bench, server):
    return run_wrk(bench, server, "/v2/", 2)[1]


def ping_alone(bench, server):
    bench.stage.run([bench.tools.open_loop, str(server.port), "/v2/", "500", "1", "2"])
    return 1000


def manifest_saturated(bench, server):
    return run_wrk(bench, server, MANIFEST_PATH, 2)[1]


def push(bench, server):
    return push_image(server.port, "bench/pushed", "latest", seed=2)[0]


def upload(bench, server):
    bench.upload(server, 64 << 20)
    return 64


def download(bench, server):
    done = bench.upload(server, 64 << 20)
    trace = CallCount(bench.stage, server)
    bench.blob_load("download", server, "--digest", done["digest"])
    return 64, trace.finish()


SCENARIOS = [
    ("GET /v2/, 32 connections", "request", ping_saturated),
    ("GET /v2/, one at a time", "request", ping_alone),
    ("GET manifest by tag, 32 connections", "request", manifest_saturated),
    ("docker push of 8 small blobs and a manifest", "request", push),
    ("upload of 64 MiB, chunked", "MiB", upload),
    ("download of 64 MiB", "MiB", download),
]


def count(bench, kind, scenario):
    with kind(bench.stage, bench.tools) as server:
        push_image(server.port, "bench/image", "latest")
        if scenario is download:
            return scenario(bench, server)
        trace = CallCount(bench.stage, server)
        units = scenario(bench, server)
        return units, trace.finish()


def row_of(name, unit, units, calls):
    most = sorted(calls.items(), key=lambda item: -item[1])
    parts = [f"{call} {number / units:.2f}" for call, number in most[:9] if number / units >= 0.01]
    return (name, f"{sum(calls.values()) / units:.2f}", unit, ", ".join(parts))


def main():
    parser = argparse.ArgumentParser(prog="bench/syscalls.sh")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--docker-registry", action="store_true", help="count docker-registry's in place of minato's")
    parser.add_argument("--minato", default=os.path.join(ROOT, "build", "release", "minato"))
    arguments = parser.parse_args()
    tools = find_tools(arguments)
    os.sched_setaffinity(0, {LOAD_CORE})
    kind = DockerRegistry if arguments.docker_registry else Minato
    rows = [("scenario", "calls", "per", "most frequent")]
    with Stage("/dev/shm") as stage:
        bench = Bench(stage, tools, SimpleNamespace(rounds=1), Results(), say)
        for name, unit, scenario in SCENARIOS:
            say(name)
            rows.append(row_of(name, unit, *count(bench, kind, scenario)))
    print(format_markdown(rows) if arguments.markdown else format_text(rows))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as problem:
        say(problem)
        sys.exit(1)
