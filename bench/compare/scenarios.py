# SPDX-License-Identifier: Apache-2.0
"""What is compared: how one sample of a scenario is taken, from a fresh server on a fresh store."""

import json
import os
from collections import namedtuple

from image import push_image
from measures import MANIFEST_PATH, run_wrk
from peers import serving
from processes import BenchError
from s3 import path_of_layer, raw_multipart
from servers import PASSWORD, USER, BareH2o

FILESYSTEM, CEPH = "filesystem", "ceph"
BARE, RAW = "bare libh2o", "raw multipart"

JOBS, BYTES, P50, P99, CPU, PEAK, ERRORS = "jobs", "bytes", "p50", "p99", "CPU", "peak RSS", "errors"
UNITS = {JOBS: "/s", BYTES: "MB/s", P50: "ms", P99: "ms", CPU: "ms/job", PEAK: "MB", ERRORS: ""}

# take(bench, scenario, store, server name) is a list of (row, quantity, value); a quantity that UNITS does not know is a kind of
# error. `limits` names the server that is one, by store.
Scenario = namedtuple("Scenario", "name about stores limits take arguments")


def load(bench, scenario, server):
    """minato-bench's report. Errors that it counted are a result; that it could not run is none. Its seed is always the
    same, and so are the images that all servers are given."""
    options = bench.options
    if scenario.take is take_large:
        amount = ["--jobs", "1", "--size", str(options.store_upload_bytes)]
    else:
        amount = ["--duration", f"{options.seconds}s", "--warmup", f"{options.warmup}s", "--scale", str(options.scale)]
    return json.loads(bench.stage.run(
        [bench.tools.minato_bench, *scenario.arguments, *amount, "--http1.1", "--user", USER, "--password-file",
         write_password(server), "--pid", str(server.pid), "--json", "-", "--quiet", f"http://127.0.0.1:{server.port}"],
        codes=(0, 1)))


def write_password(server):
    path = os.path.join(server.scratch, "password")
    with open(path, "w", encoding="ascii") as file:
        file.write(PASSWORD + "\n")
    return path


def cpu_seconds_of(report):
    """Of the server, while it was measured: the timeline has one entry a second, the last a part of one."""
    lengths = [min(1.0, report["seconds"] - entry["second"]) for entry in report["timeline"]]
    return sum(entry["cpu_percent"] / 100 * length for entry, length in zip(report["timeline"], lengths))


def take_load(bench, scenario, store, name):
    # Deleting takes a user, and the peers let everybody delete.
    deletes = scenario.name in ("ci-fleet", "tag-churn")
    with serving(bench, store, name, users=deletes and name == "minato") as server:
        report = load(bench, scenario, server)
        peak = server.peak_rss_kib()
    jobs, operations = report["jobs"], report["operations"].values()
    if jobs["count"] == 0:
        raise BenchError(f"no job was done: {report['errors']}")
    moved = sum(one["bytes_in"] + one["bytes_out"] for one in operations)
    return report, [(scenario.name, JOBS, jobs["count"] / report["seconds"]),
                    (scenario.name, BYTES, moved / report["seconds"] / 1e6),
                    (scenario.name, P50, jobs["latency_us"]["p50"] / 1e3),
                    (scenario.name, P99, jobs["latency_us"]["p99"] / 1e3),
                    (scenario.name, CPU, cpu_seconds_of(report) / jobs["count"] * 1e3),
                    (scenario.name, PEAK, peak * 1024 / 1e6),
                    (scenario.name, ERRORS, sum(report["errors"].values())),
                    *((scenario.name, f"{operation}: {kind}", count) for operation, seen in report["operations"].items()
                      for kind, count in seen["errors"].items())]


def take_storm(bench, scenario, store, name):
    return take_load(bench, scenario, store, name)[1]


def seconds_of(report, *operations):
    seen = [report["operations"][name] for name in operations if name in report["operations"]]
    return sum(one["latency_us"]["mean"] * one["count"] for one in seen) / 1e6


def take_large(bench, scenario, store, name):
    """One layer there and back, of which each way is a row too. Beside the upload, the limit: its parts from memory."""
    upload, size = f"{scenario.name}, upload", bench.options.store_upload_bytes
    if name == RAW:
        rate = next(value for _, _, quantity, _, value in raw_multipart(bench) if quantity == "throughput")
        return [(upload, BYTES, rate)]
    bench.stage.remove(bench.warm_memory(size))
    report, values = take_load(bench, scenario, store, name)
    up = seconds_of(report, "post_upload", "patch_upload", "put_upload")
    down = seconds_of(report, "get_blob")
    return [*values, (upload, BYTES, size / up / 1e6), (f"{scenario.name}, download", BYTES, size / down / 1e6)]


def take_requests(bench, scenario, store, name):
    """One kind of request by wrk, 32 connections. The limit answers a constant with as large a head as minato's."""
    is_blob = scenario.name == "blob-redirect"
    with serving(bench, store, "minato" if name == BARE else name) as server:
        push_image(server.port, "bench/image", "latest")
        path = path_of_layer(server) if is_blob else MANIFEST_PATH
        if name != BARE:
            return timed_requests(bench, scenario, server, path)
        head_bytes = server.response_head_bytes(path)
    with BareH2o(bench.stage, bench.tools, head_bytes=head_bytes) as server:
        return timed_requests(bench, scenario, server, "/v2/")


def timed_requests(bench, scenario, server, path):
    run_wrk(bench, server, path, bench.options.warmup)
    rate, requests, spent = run_wrk(bench, server, path, bench.options.seconds)
    return [(scenario.name, JOBS, rate), (scenario.name, CPU, spent / requests * 1e3),
            (scenario.name, PEAK, server.peak_rss_kib() * 1024 / 1e6)]


BOTH = (FILESYSTEM, CEPH)
SCENARIOS = {one.name: one for one in (
    Scenario("manifest-by-tag", "GET of one manifest by its tag, 32 connections", BOTH, {FILESYSTEM: BARE, CEPH: BARE},
             take_requests, ()),
    Scenario("blob-redirect", "GET of one blob, sent to the store or not, 32 connections", (CEPH,), {CEPH: BARE},
             take_requests, ()),
    Scenario("pull-storm", "32 clients pull whole images", BOTH, {}, take_storm, ("pull-storm", "--clients", "32")),
    Scenario("pull-no-follow", "the same, blobs not fetched from where the store is", (CEPH,), {}, take_storm,
             ("pull-storm", "--clients", "32", "--no-follow")),
    Scenario("push-storm", "16 clients push images that share a base", BOTH, {}, take_storm,
             ("push-storm", "--clients", "16")),
    Scenario("ci-fleet", "32 clients do what CI does", BOTH, {}, take_storm, ("ci-fleet", "--clients", "32")),
    Scenario("single-large", "one large layer pushed and pulled", BOTH, {CEPH: RAW}, take_large,
             ("single-large", "--clients", "1")),
    Scenario("tag-churn", "16 clients move tags", BOTH, {}, take_storm, ("tag-churn", "--clients", "16")),
)}
