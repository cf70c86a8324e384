# SPDX-License-Identifier: Apache-2.0
"""bench/compare/run.sh without the build: which registries, stores and scenarios, the rounds, the tables."""

import argparse
import datetime
import json
import os
import shlex
import subprocess
import sys
from statistics import median
from types import SimpleNamespace

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "bench", "harness"), os.path.join(ROOT, "tests", "support")]

import go_tools  # noqa: E402
from main import describe_machine, find_tools, minato_version, package_version, say  # noqa: E402
from measures import Bench  # noqa: E402
from peers import BUILT, IN_FOLDER, build  # noqa: E402
from processes import LOAD_CORE, BenchError, Stage  # noqa: E402
from results import Results, format_markdown, format_text, significant  # noqa: E402
from scenarios import BYTES, CEPH, CPU, ERRORS, FILESYSTEM, JOBS, P50, P99, PEAK, SCENARIOS, UNITS  # noqa: E402

FULL = {"rounds": 5, "seconds": 5, "warmup": 1, "attempts": 6, "scale": 16, "store_upload_bytes": 1 << 30}
QUICK = {"rounds": 1, "seconds": 2, "warmup": 1, "attempts": 1, "scale": 64, "store_upload_bytes": 64 << 20}
LIMITS = "limits"
STORES = (FILESYSTEM, CEPH)
COLUMNS = (JOBS, BYTES, P50, P99, CPU, PEAK, ERRORS)
RATIOS = (JOBS, BYTES, P50, P99, CPU, PEAK)
NAMES = (*IN_FOLDER, LIMITS, *SCENARIOS, *STORES)


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench/compare/run.sh", description="minato beside other registries")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: does it work, not how fast")
    parser.add_argument("--rounds", type=int, help="interleaved repetitions (5; 1 with --quick)")
    parser.add_argument("--only", metavar="NAME", action="append", choices=NAMES,
                        help="a server, a scenario or a store of --list; may be repeated")
    parser.add_argument("--list", action="store_true", help="print their names")
    parser.add_argument("--disk", metavar="FOLDER", help="where the filesystem's store is (tmpfs)")
    parser.add_argument("--minato", metavar="BINARY", default=os.path.join(ROOT, "build", "release", "minato"))
    parser.add_argument("--markdown", metavar="FILE", help="write the tables as Markdown too")
    parser.add_argument("--json", metavar="FILE", help="write every sample too")
    parser.add_argument("--no-build", action="store_true", help="measure what is built already")
    return parser.parse_args()


def print_names():
    for name in (*IN_FOLDER, LIMITS):
        print(f"server    {name}")
    for name in STORES:
        print(f"store     {name}")
    for one in SCENARIOS.values():
        print(f"scenario  {one.name:16} {one.about} ({', '.join(one.stores)})")


def chosen(only, names):
    """Those of a kind that are asked for; all of them when none is."""
    return [name for name in names if name in (only or ())] or list(names)


class Comparison(Bench):
    """What the samples need, and what there is to say beside the numbers."""

    def __init__(self, stage, tools, options, results):
        super().__init__(stage, tools, options, results, say)
        self.reasons = {}  # (server, where) -> why it was not measured

    def take(self, scenario, store, name):
        """One sample. A server that cannot do it is not asked again, so that rounds stay comparable."""
        where = f"{store}: {scenario.name}"
        if (name, where) in self.reasons:
            return
        try:
            self.sample(lambda: [(f"{store}: {row}", name, quantity, UNITS.get(quantity, ""), value)
                                 for row, quantity, value in scenario.take(self, scenario, store, name)])
        except (BenchError, OSError, AssertionError, subprocess.SubprocessError) as error:
            say(f"{name}, {where}: {error}")
            self.reasons[(name, where)] = f"failed: {(str(error) or repr(error)).splitlines()[0]}"

    def has_failed(self):
        """A peer's errors are a result; minato's are not to be."""
        wrong = [count for (_, quantity, server), entry in self.results.series.items()
                 if (quantity, server) == (ERRORS, "minato") for count in entry["samples"]]
        return any(wrong) or any(why.startswith("failed") for why in self.reasons.values())


def one_round(bench, stores, scenarios, servers):
    for store, scenario in ((store, scenario) for store in stores for scenario in scenarios if store in scenario.stores):
        say(f"{store}: {scenario.name}")
        for name in servers:
            if name != LIMITS:
                bench.take(scenario, store, name)
            elif store in scenario.limits:
                bench.take(scenario, store, scenario.limits[store])


# ---- tables ----


def cell(values):
    """The median, and the spread where there is one."""
    if not values:
        return ""
    middle, least, most = map(significant, (median(values), min(values), max(values)))
    return middle if least == most else f"{middle} ({least} to {most})"


def measured(results, store):
    """(row, server) in the order in which they were measured."""
    seen = {(measure, server): None for measure, _, server in results.series if measure.startswith(f"{store}: ")}
    rows = list(dict.fromkeys(measure for measure, _ in seen))
    return sorted(seen, key=lambda one: rows.index(one[0]))


def samples_of(results, measure, quantity, server):
    return results.series.get((measure, quantity, server), {"samples": []})["samples"]


def result_table(results, store):
    rows = [(store, "server", *(f"{name} {UNITS[name]}".strip() for name in COLUMNS), "runs")]
    for measure, server in measured(results, store):
        known = [samples_of(results, measure, quantity, server) for quantity in COLUMNS]
        rows.append((measure.removeprefix(f"{store}: "), server, *map(cell, known), str(max(map(len, known)))))
    return rows


def ratio_table(results, store):
    rows = [(f"{store}: minato /", "server", *RATIOS)]
    for measure, server in measured(results, store):
        if server == "minato" or (measure, "minato") not in measured(results, store):
            continue
        pairs = [zip(*(samples_of(results, measure, quantity, one) for one in ("minato", server))) for quantity in RATIOS]
        rows.append((measure.removeprefix(f"{store}: "), server, *(cell([a / b for a, b in pair if b > 0]) for pair in pairs)))
    return rows


def note_table(bench):
    rows = [("not measured, or with errors", "where", "what", "times")]
    rows += [(server, where, why, "") for (server, where), why in bench.reasons.items()]
    rows += [(server, measure, kind, str(sum(entry["samples"])))
             for (measure, kind, server), entry in bench.results.series.items() if kind not in UNITS]
    return rows


def tables_of(bench, stores):
    tables = [make(bench.results, store) for store in stores for make in (result_table, ratio_table)]
    return [table for table in (*tables, note_table(bench)) if len(table) > 1]


def describe(tools, options):
    command = shlex.join(["bench/compare/run.sh", *sys.argv[1:]])
    built = [f"{name} {go_tools.TOOLS[name][1]}" for name in BUILT if getattr(tools, name)]
    packages = [f"{what} {package_version(package)}" for what, package in
                (("docker-registry", "docker-registry"), ("libh2o", "libh2o-evloop-dev"), ("Ceph", "radosgw"))]
    return [f"`{command}`, date {datetime.date.today()}, {', '.join([minato_version(tools), *built, *packages])}",
            describe_machine("/dev/shm" if options.where == "tmpfs" else options.disk)]


def write_outputs(arguments, bench, about, stores):
    tables = tables_of(bench, stores)
    print(*about, *("\n" + format_text(table) for table in tables), sep="\n")
    if arguments.markdown:
        with open(arguments.markdown, "w", encoding="utf-8") as file:
            file.write("\n\n".join(["  \n".join(about), *map(format_markdown, tables)]) + "\n")
    if arguments.json:
        missing = [{"server": server, "where": where, "why": why} for (server, where), why in bench.reasons.items()]
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"about": about, "series": bench.results.as_list(), "not_measured": missing}, file, indent=1)


# ---- the run ----


def add_peers(bench, servers):
    """Those to run: peers in Go are built, and named when they cannot be."""
    for name in BUILT:
        path, why = build(name) if name in servers else (None, "not asked for")
        setattr(bench.tools, name, path)
        if name in servers and path is None:
            bench.reasons[(name, "everywhere")] = f"not built: {why}"
    return [name for name in servers if name not in BUILT or getattr(bench.tools, name)]


def run(arguments):
    options = SimpleNamespace(**(QUICK if arguments.quick else FULL))
    options.rounds = arguments.rounds or options.rounds
    options.disk, options.where = arguments.disk, "disk" if arguments.disk else "tmpfs"
    tools = find_tools(arguments, ("bare_h2o", "relay"))
    scenarios = [SCENARIOS[name] for name in chosen(arguments.only, SCENARIOS)]
    stores = chosen(arguments.only, STORES)
    with Stage(arguments.disk) as stage:
        bench = Comparison(stage, tools, options, Results())
        servers = add_peers(bench, chosen(arguments.only, (*IN_FOLDER, LIMITS)))
        about = describe(tools, options)
        os.sched_setaffinity(0, {LOAD_CORE})
        try:
            for _ in bench.rounds("comparison"):
                one_round(bench, stores, scenarios, servers)
        except KeyboardInterrupt:
            say("interrupted; the tables have what was measured until then")
            about.append("interrupted")
        about.append(f"samples taken while others used more than a tenth of a core: {bench.results.disturbed} of "
                     f"{bench.results.taken}")
        write_outputs(arguments, bench, about, stores)
    return 130 if "interrupted" in about else 1 if bench.has_failed() else 0


def main():
    arguments = parse_arguments()
    if arguments.list:
        print_names()
        return 0
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
