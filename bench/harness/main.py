# SPDX-License-Identifier: Apache-2.0
"""bench/run.sh without the build: options, one stage for all measures, the tables."""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

from measures import MEASURES as BASIC_MEASURES
from measures import Bench
from processes import LOAD_CORE, BenchError, Stage
from protocols import PROTOCOL_MEASURES
from results import Results, format_markdown, format_text
from s3 import STORE_MEASURES

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FULL = {"rounds": 5, "seconds": 4, "upload_bytes": 2 << 30, "download_bytes": 1 << 30, "refused_bytes": 300 << 20,
        "starts": 20, "idle_connections": 1000, "tags": 100_000, "attempts": 6, "many_uploads": 200,
        "store_upload_bytes": 1 << 30}
QUICK = {**FULL, "rounds": 2, "seconds": 1, "upload_bytes": 256 << 20, "download_bytes": 256 << 20, "starts": 5,
         "tags": 10_000, "attempts": 1, "many_uploads": 40, "store_upload_bytes": 128 << 20}
MEASURES = {**BASIC_MEASURES, **PROTOCOL_MEASURES, **STORE_MEASURES}


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench/run.sh", description="minato beside docker-registry and bare libh2o")
    parser.add_argument("--quick", action="store_true", help="small sizes and two rounds: does it work, not how fast")
    parser.add_argument("--rounds", type=int, help="interleaved repetitions (5; 2 with --quick)")
    parser.add_argument("--only", metavar="MEASURE", action="append", choices=sorted(MEASURES),
                        help=f"one of {', '.join(MEASURES)}; may be repeated")
    parser.add_argument("--disk", metavar="FOLDER", default=os.path.join(ROOT, "build", "bench-data"),
                        help="where uploads to disk go (build/bench-data)")
    parser.add_argument("--minato", metavar="BINARY", default=os.path.join(ROOT, "build", "release", "minato"))
    parser.add_argument("--markdown", metavar="FILE", help="write the tables as Markdown too")
    parser.add_argument("--json", metavar="FILE", help="write every sample too")
    parser.add_argument("--no-build", action="store_true", help="measure what is built already")
    return parser.parse_args()


TOOLS = ("bare_h2o", "blob_load", "open_loop", "idle_connections", "start_time", "tag_rates", "relay")


def find_tools(arguments, names=TOOLS):
    build = os.path.join(ROOT, "build", "bench")
    tools = SimpleNamespace(minato=arguments.minato, docker_registry=shutil.which("docker-registry"),
                            minato_bench=os.path.join(build, "minato-bench"),
                            **{name: os.path.join(build, "bench", name) for name in names})
    for path in vars(tools).values():
        if not path or not os.access(path, os.X_OK):
            raise BenchError(f"not built or not installed: {path}")
    return tools


def first_match(path, pattern):
    with open(path, encoding="utf-8") as file:
        found = re.search(pattern, file.read(), re.MULTILINE)
    return found.group(1).strip() if found else "?"


def package_version(name):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True, check=False)
    return done.stdout or "?"


def describe_run(tools, disk):
    return [f"date {datetime.date.today()}, {minato_version(tools)}, docker-registry {package_version('docker-registry')}, "
            f"libh2o {package_version('libh2o-evloop-dev')}, wrk {package_version('wrk')}",
            describe_machine(disk)]


def minato_version(tools):
    return subprocess.run([tools.minato, "--version"], capture_output=True, text=True, check=False).stdout.strip()


def describe_machine(disk):
    memory_gb = int(first_match("/proc/meminfo", r"MemTotal:\s+(\d+)")) / 1e6
    os.makedirs(disk, exist_ok=True)
    filesystem = subprocess.run(["stat", "-f", "-c", "%T", disk], capture_output=True, text=True, check=True)
    linux = ".".join(platform.release().split(".")[:2])
    system = first_match("/etc/os-release", r'^PRETTY_NAME="(.*)"')
    processor = first_match("/proc/cpuinfo", r"model name\s*:\s*(.*)")
    return (f"{os.cpu_count()} cores of {processor}, {memory_gb:.0f} GB, Linux {linux}, {system}, "
            f"disk {filesystem.stdout.strip()}; server on core 0, load on core 1")


def write_outputs(arguments, results, about):
    rows, checks = results.tables()
    print(*about, "", format_text(rows), "", sep="\n")
    if len(checks) > 1:
        print(format_text(checks))
    for table in results.tables_made:
        print("", format_text(table), sep="\n")
    if arguments.markdown:
        with open(arguments.markdown, "w", encoding="utf-8") as file:
            tables = [format_markdown(table) for table in (checks, rows, *results.tables_made)]
            file.write("\n\n".join(["  \n".join(about), *tables]) + "\n")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"about": about, "series": results.as_list(), "checks": results.checks}, file, indent=1)


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run(arguments):
    options = SimpleNamespace(**(QUICK if arguments.quick else FULL))
    options.rounds = arguments.rounds or options.rounds
    tools = find_tools(arguments)
    os.sched_setaffinity(0, {LOAD_CORE})
    results, failures = Results(), 0
    about = describe_run(tools, arguments.disk)
    with Stage(arguments.disk) as stage:
        bench = Bench(stage, tools, options, results, say)
        for name in arguments.only or MEASURES:
            try:
                MEASURES[name](bench)
            except BenchError as error:
                failures += 1
                say(f"{name} failed: {error}")
    about.append(f"samples taken while others used more than a tenth of a core: {results.disturbed} of {results.taken}")
    write_outputs(arguments, results, about)
    return 1 if failures else 0


def main():
    arguments = parse_arguments()
    if len(os.sched_getaffinity(0)) < 2:
        raise BenchError("two cores are needed: one for the server, one for the load")
    return run(arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as problem:
        say(problem)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
