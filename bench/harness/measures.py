# SPDX-License-Identifier: Apache-2.0
"""One function a number. Each runs its servers in turn, round after round, so that all see the same machine."""

import concurrent.futures
import json
import os
import re
import signal
import subprocess
import time

from image import ACCEPT, INDEX_TYPE, Client, digest_of, push_image
from processes import BenchError, Neighbours, pinned
from servers import BareH2o, DockerRegistry, Minato

MANIFEST_PATH = "/v2/bench/image/manifests/latest"
PING = "GET /v2/"
MANIFEST = "GET manifest by tag"
TAGS = "tags/list?n=100 of many"


# The share of one core that others may use while a sample is taken.
NEIGHBOURS_MAX = 0.1
QUIET_WAIT_SECONDS = 60


class Bench:
    """What every measure needs: the stage, the tools, the sizes, and where results go."""

    def __init__(self, stage, tools, options, results, say):
        self.stage = stage
        self.tools = tools
        self.options = options
        self.results = results
        self.say = say
        self.seed = time.time_ns()

    def rounds(self, what):
        for number in range(self.options.rounds):
            self.say(f"{what}: round {number + 1} of {self.options.rounds}")
            yield number

    def sample(self, take):
        """Calls take(), which returns (measure, server, quantity, unit, value) tuples, and keeps them. It is called again
        when others used the machine meanwhile: what is thrown away does not depend on what was measured. With one attempt
        (--quick) the machine may be as it is."""
        for attempt in range(1, self.options.attempts + 1):
            if self.options.attempts > 1:
                self.wait_for_quiet()
            neighbours = Neighbours(self.stage)
            values = take()
            share = neighbours.share()
            if share < NEIGHBOURS_MAX or attempt == self.options.attempts:
                break
            self.say(f"taken again: others used {share:.0%} of a core")
        self.results.taken += 1
        self.results.disturbed += share >= NEIGHBOURS_MAX
        for value in values:
            self.results.add(*value)

    def wait_for_quiet(self):
        deadline = time.monotonic() + QUIET_WAIT_SECONDS
        while time.monotonic() < deadline:
            neighbours = Neighbours(self.stage)
            time.sleep(0.3)
            if neighbours.share() < NEIGHBOURS_MAX:
                return

    def fresh_seed(self):
        self.seed += 1
        return str(self.seed)

    def blob_load(self, operation, server, *arguments):
        out = self.stage.run([self.tools.blob_load, "--port", str(server.port), *arguments, operation])
        return json.loads(out)

    def prepare_upload(self, server, size):
        """A loader that has its bytes and digest and waits for a line. Ballast: see warm_memory."""
        ballast = self.warm_memory(size)
        loader = self.stage.start(
            [self.tools.blob_load, "--port", str(server.port), "--size", str(size), "--seed", self.fresh_seed(),
             "--pause", "upload"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if loader.stdout.readline() != "prepared\n":
            raise BenchError("blob_load did not get ready")
        return loader, ballast

    def finish_upload(self, loader, ballast):
        self.stage.remove(ballast)
        out = loader.communicate("\n", timeout=300)[0]
        self.stage.end(loader)
        if loader.returncode != 0:
            raise BenchError("the upload failed")
        return json.loads(out)

    def warm_memory(self, size):
        """A file of `size` bytes on tmpfs, removed just before what is timed: a virtual machine that gives freed memory
        back to its host pays for each page's first touch several times what the write itself costs."""
        folder = self.stage.folder("tmpfs")
        block = bytes(64 << 20)
        with open(os.path.join(folder, "ballast"), "wb", buffering=0) as file:
            for _ in range(-(-size // len(block)) + 2):
                file.write(block)
        return folder

    def upload(self, server, size, *arguments):
        return self.blob_load("upload", server, "--size", str(size), "--seed", self.fresh_seed(), *arguments)


# ---- requests per second ---------------------------------------------------------------------------------------------


def run_wrk(bench, server, path, seconds):
    """(requests per second, requests, server CPU seconds)."""
    before = server.cpu_seconds()
    out = bench.stage.run(["wrk", "-t1", "-c32", "--timeout", "30s", f"-d{seconds}s", "-H", f"Accept: {ACCEPT}",
                           f"http://127.0.0.1:{server.port}{path}"])
    spent = server.cpu_seconds() - before
    if "Non-2xx" in out or "Socket errors" in out:
        raise BenchError(f"{server.name} {path}:\n{out}")
    rate = float(re.search(r"Requests/sec:\s+([0-9.]+)", out).group(1))
    return rate, int(re.search(r"(\d+) requests in", out).group(1)), spent


def request_rate(bench, measure, path, server):
    server.clear_log()
    rate, requests, spent = run_wrk(bench, server, path, bench.options.seconds)
    values = [(measure, server.name, "rate", "req/s", rate),
              (measure, server.name, "server CPU", "us/req", spent / requests * 1e6),
              (measure, server.name, "core busy", "%", spent / bench.options.seconds * 100)]
    if server.has_access_log:
        values.append((measure, server.name, "logged", "%", server.log_lines() / requests * 100))
    return values


def request_rates(bench):
    """GET /v2/ and a manifest by tag, against the bare handler and docker-registry."""
    results = bench.results
    with Minato(bench.stage, bench.tools) as minato, DockerRegistry(bench.stage, bench.tools) as peer:
        head_bytes = minato.response_head_bytes("/v2/")
        with BareH2o(bench.stage, bench.tools, head_bytes=head_bytes) as bare:
            for server in (minato, peer):
                push_image(server.port, "bench/image", "latest")
            turns = [(PING, "/v2/", bare), (PING, "/v2/", minato), (PING, "/v2/", peer),
                     (MANIFEST, MANIFEST_PATH, minato), (MANIFEST, MANIFEST_PATH, peer)]
            for _, path, server in turns:
                run_wrk(bench, server, path, 1)
            for _ in bench.rounds("requests per second"):
                for turn in turns:
                    bench.sample(lambda turn=turn: request_rate(bench, *turn))
    results.check_ratio("GET /v2/ req/s: minato / bare libh2o", PING, "rate", ("minato", "bare libh2o"), ">=", 0.8)
    results.check_ratio("manifest by tag req/s: minato / bare libh2o", None, "rate", ("minato", "bare libh2o"),
                        ">=", 0.5, (MANIFEST, PING))
    results.check_ratio("manifest by tag req/s: minato / docker-registry", MANIFEST, "rate",
                        ("minato", "docker-registry"), ">=", 25)


# ---- blobs -----------------------------------------------------------------------------------------------------------


def timed_upload(bench, server, measure, size, first=1 << 20):
    """One PATCH, chunked, then an empty PUT, to a server that has had one of `first` bytes."""
    bench.upload(server, first)
    prepared = bench.prepare_upload(server, size)
    before = server.cpu_seconds()
    done = bench.finish_upload(*prepared)
    spent = server.cpu_seconds() - before
    return [(measure, server.name, "throughput", "MB/s", done["bytes"] / done["seconds"] / 1e6),
            (measure, server.name, "server CPU", "s/GB", spent / done["bytes"] * 1e9),
            (measure, server.name, "final PUT", "s", done["put_seconds"]),
            (measure, server.name, "peak RSS", "MB", server.peak_rss_kib() * 1024 / 1e6),
            (measure, "client", "SHA-256 alone", "MB/s", done["bytes"] / done["hash_seconds"] / 1e6)]


def timed_upload_to_folder(bench, kind, where, measure):
    with kind(bench.stage, bench.tools, where) as server:
        return timed_upload(bench, server, measure, bench.options.upload_bytes)


def upload_tmpfs(bench):
    """One PATCH, chunked, then an empty PUT, on tmpfs."""
    measure = "upload, tmpfs"
    for _ in bench.rounds(measure):
        for kind in (Minato, DockerRegistry):
            bench.sample(lambda kind=kind: timed_upload_to_folder(bench, kind, "tmpfs", measure))
    bench.results.check_ratio("upload on tmpfs MB/s: minato / docker-registry", measure, "throughput",
                              ("minato", "docker-registry"), ">=", 2)
    bench.results.check("upload on tmpfs: peak RSS of minato", bench.results.samples(measure, "minato", "peak RSS"),
                        "<=", 48, " MB")


def write_source(bench, folder):
    """What dd copies: as incompressible as the blobs, read from tmpfs."""
    path = os.path.join(folder, "source")
    block = os.urandom(64 << 20)
    with open(path, "wb") as file:
        left = bench.options.upload_bytes
        while left > 0:
            left -= file.write(block[:left])
    return path


def timed_dd(bench, source, measure):
    settle_disk()
    folder = bench.stage.folder("disk")
    bench.stage.remove(bench.warm_memory(bench.options.upload_bytes))
    begun = time.monotonic()
    bench.stage.run(["taskset", "-c", "0", "dd", f"if={source}", f"of={folder}/copy", "bs=1M", "conv=fsync"])
    seconds = time.monotonic() - begun
    bench.stage.remove(folder)
    return [(measure, "dd conv=fsync", "throughput", "MB/s", bench.options.upload_bytes / seconds / 1e6)]


def timed_upload_to_disk(bench, kind, measure):
    settle_disk()
    return timed_upload_to_folder(bench, kind, "disk", measure)


def settle_disk():
    os.sync()
    time.sleep(1)


def upload_disk(bench):
    """The same on disk, beside dd conv=fsync of the same size."""
    measure = "upload, disk"
    folder = bench.stage.folder("tmpfs")
    source = write_source(bench, folder)
    for _ in bench.rounds(measure):
        bench.sample(lambda: timed_dd(bench, source, measure))
        for kind in (Minato, DockerRegistry):
            bench.sample(lambda kind=kind: timed_upload_to_disk(bench, kind, measure))
    bench.stage.remove(folder)
    bench.results.check_ratio("upload on disk MB/s: minato / dd conv=fsync", measure, "throughput",
                              ("minato", "dd conv=fsync"), ">=", 0.9)
    bench.results.check("upload on disk: peak RSS of minato", bench.results.samples(measure, "minato", "peak RSS"),
                        "<=", 48, " MB")


def timed_download(bench, server, digest, measure):
    before = server.cpu_seconds()
    done = bench.blob_load("download", server, "--digest", digest)
    spent = server.cpu_seconds() - before
    if done["bytes"] != bench.options.download_bytes:
        raise BenchError(f"{server.name} sent {done['bytes']} bytes")
    return [(measure, server.name, "throughput", "MB/s", done["bytes"] / done["seconds"] / 1e6),
            (measure, server.name, "server CPU", "s/GB", spent / done["bytes"] * 1e9)]


def download(bench):
    """A large blob, read to its end without copying it, on tmpfs."""
    measure, results = "download, tmpfs", bench.results
    with Minato(bench.stage, bench.tools) as minato, DockerRegistry(bench.stage, bench.tools) as peer:
        digests = {server: bench.upload(server, bench.options.download_bytes)["digest"] for server in (minato, peer)}
        for server, digest in digests.items():
            timed_download(bench, server, digest, measure)
        for _ in bench.rounds(measure):
            for server, digest in digests.items():
                bench.sample(lambda server=server, digest=digest: timed_download(bench, server, digest, measure))
    results.check_ratio("download MB/s: minato / docker-registry", measure, "throughput",
                        ("minato", "docker-registry"), ">=", 1)
    results.check_ratio("download server CPU: minato / docker-registry", measure, "server CPU",
                        ("minato", "docker-registry"), "<=", 0.5)


# ---- refused ---------------------------------------------------------------------------------------------------------

STRACE_CALLS = "read,readv,recvfrom,recvmsg,splice"


class ReadTrace:
    """Counts the bytes that a process reads from TCP sockets."""

    def __init__(self, bench, server):
        self.stage = bench.stage
        self.path = os.path.join(server.scratch, "strace")
        self.tracer = self.stage.start(["strace", "-f", "-yy", "-s0", "-e", f"trace={STRACE_CALLS}", "-o", self.path,
                                        "-p", str(server.pid)], stderr=subprocess.PIPE, text=True)
        if "attached" not in self.tracer.stderr.readline():
            raise BenchError("strace cannot attach")

    def finish(self):
        self.stage.end(self.tracer, signal.SIGINT)
        self.tracer.stderr.close()
        return count_socket_bytes(self.path)


def count_socket_bytes(path):
    total, unfinished = 0, {}
    with open(path, encoding="ascii", errors="replace") as lines:
        for line in lines:
            thread = line.split(None, 1)[0]
            if "<unfinished" in line:
                unfinished[thread] = line
                continue
            call = unfinished.pop(thread, "") if " resumed>" in line else line
            done = re.search(r"\)\s+= (\d+)", line)
            if done and re.search(r"\(\d+<(TCP|socket)", call):
                total += int(done.group(1))
    return total


def refused_once(bench, kind, framing):
    measure = f"refused upload, {framing}"
    arguments = ["--size", str(bench.options.refused_bytes)]
    if framing == "Content-Length":
        arguments.append("--content-length")
    with kind(bench.stage, bench.tools, users=True) as server:
        trace = ReadTrace(bench, server)
        done = bench.blob_load("refused", server, *arguments)
        time.sleep(0.5)
        read = trace.finish()
    return [(measure, server.name, "server read", "MB", read / 1e6),
            (measure, server.name, "kernel took", "MB", done["acknowledged_bytes"] / 1e6),
            (measure, server.name, "status seen", "", done["status"])]


def refused(bench):
    """An upload without credentials, by a client that ignores the answer and goes on sending."""
    framings = ("chunked", "Content-Length")
    for _ in bench.rounds("refused upload"):
        for framing in framings:
            for kind in (Minato, DockerRegistry):
                for value in refused_once(bench, kind, framing):
                    bench.results.add(*value)
    for framing in framings:
        bench.results.check(f"refused upload, {framing}: bytes minato read",
                            bench.results.samples(f"refused upload, {framing}", "minato", "server read"), "<=", 1,
                            " MB")


# ---- start, memory, latency ------------------------------------------------------------------------------------------


def start_once(bench, server):
    out = bench.stage.run([bench.tools.start_time, str(server.port), *pinned(server.command())])
    return [("start to ready", server.name, "time", "ms", json.loads(out)["seconds"] * 1000)]


def start_to_ready(bench):
    """Exec to the first 200 of GET /v2/, the data folder in place."""
    servers = [kind(bench.stage, bench.tools) for kind in (Minato, DockerRegistry)]
    bench.say(f"start to ready: {bench.options.starts} of each")
    for _ in range(bench.options.starts):
        for server in servers:
            bench.sample(lambda server=server: start_once(bench, server))
    bench.results.check("start to ready of minato", bench.results.samples("start to ready", "minato", "time"), "<=",
                        100, " ms")


def memory_once(bench, kind):
    count = bench.options.idle_connections
    with kind(bench.stage, bench.tools) as server:
        time.sleep(1)
        idle = server.rss_kib()
        holder = bench.stage.start([bench.tools.idle_connections, str(server.port), str(count)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if holder.stdout.readline() != "open\n":
            raise BenchError(f"{server.name}: no {count} idle connections")
        time.sleep(1)
        held = server.rss_kib()
        holder.communicate("")
        bench.stage.end(holder)
    return [("memory", server.name, "idle RSS", "MB", idle * 1024 / 1e6),
            ("memory", server.name, "per idle connection", "KiB", (held - idle) / count)]


def memory(bench):
    """RSS after start, and what each connection that has made one request and waits adds to it."""
    for _ in bench.rounds("memory"):
        for kind in (Minato, BareH2o, DockerRegistry):
            for value in memory_once(bench, kind):
                bench.results.add(*value)
    bench.results.check("idle RSS of minato", bench.results.samples("memory", "minato", "idle RSS"), "<=", 16, " MB")


def latency_once(bench, kind, measure):
    with kind(bench.stage, bench.tools) as server:
        bench.upload(server, 1 << 20)
        prepared = bench.prepare_upload(server, bench.options.upload_bytes)
        probe = bench.stage.start([bench.tools.open_loop, str(server.port), "/v2/", "500", "8"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        probe.stdout.readline()
        uploaded = bench.finish_upload(*prepared)
        seen = json.loads(probe.communicate("", timeout=60)[0])
        bench.stage.end(probe)
    values = [(measure, server.name, quantity, "ms", seen[f"{quantity}_ms"]) for quantity in ("p50", "p99", "max")]
    return values + [(measure, server.name, "errors", "", seen["errors"] + seen["unanswered"]),
                     (measure, server.name, "upload", "MB/s", uploaded["bytes"] / uploaded["seconds"] / 1e6)]


def latency_under_upload(bench):
    """GET /v2/ at 500 a second, open loop, while a large upload runs on tmpfs."""
    measure = "GET /v2/ during an upload"
    for _ in bench.rounds(measure):
        for kind in (Minato, DockerRegistry):
            bench.sample(lambda kind=kind: latency_once(bench, kind, measure))


# ---- tags and manifests ----------------------------------------------------------------------------------------------


def write_tags(root, count):
    """A repository of `count` tags, as a registry of this layout leaves it."""
    manifest = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}).encode()
    digest = digest_of(manifest)
    hexes = digest.partition(":")[2]
    tree = os.path.join(root, "docker/registry/v2")
    repository = os.path.join(tree, "repositories/bench/tags/_manifests")
    link = digest.encode()
    files = {os.path.join(tree, "blobs/sha256", hexes[:2], hexes, "data"): manifest,
             os.path.join(repository, "revisions/sha256", hexes, "link"): link}
    for number in range(count):
        tag = os.path.join(repository, "tags", f"build-{number:06d}")
        files[os.path.join(tag, "current/link")] = link
        files[os.path.join(tag, "index/sha256", hexes, "link")] = link
    for path, content in files.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


def list_cold(bench, server, path, measure):
    begun = time.monotonic()
    status, body = server.get(path)
    if status != 200 or len(json.loads(body)["tags"]) != 100:
        raise BenchError(f"{server.name} {path}: {status}")
    return [(measure, server.name, "cold", "ms", (time.monotonic() - begun) * 1000)]


def list_warm(bench, server, path, measure):
    out = bench.stage.run(["wrk", "-t1", "-c4", "--latency", f"-d{bench.options.seconds}s",
                           f"http://127.0.0.1:{server.port}{path}"])
    if "Non-2xx" in out or "Socket errors" in out:
        raise BenchError(f"{server.name} {path}:\n{out}")
    units = {"us": 1e-3, "ms": 1, "s": 1e3}
    values = []
    for percent in ("50", "99"):
        number, unit = re.search(rf"^\s+{percent}%\s+([0-9.]+)(us|ms|s)$", out, re.MULTILINE).groups()
        values.append((measure, server.name, f"p{percent}", "ms", float(number) * units[unit]))
    return values


def tags(bench):
    """A page of 100 from the middle of a repository of 100,000 tags: the first answer after a start, then warm."""
    count = bench.options.tags
    path = f"/v2/bench/tags/tags/list?n=100&last=build-{count // 2:06d}"
    for _ in bench.rounds(f"tags/list of {count:,} tags"):
        server = Minato(bench.stage, bench.tools)
        write_tags(server.root, count)
        with server:
            bench.sample(lambda: list_cold(bench, server, path, TAGS))
            bench.sample(lambda: list_warm(bench, server, path, TAGS))
    bench.results.check(f"tags/list?n=100 of {count:,} tags: p99 warm",
                        bench.results.samples(TAGS, "minato", "p99"), "<=", 10, " ms")


def put_manifests(bench, server, clients):
    """`clients` at a time, each its own tags; (manifests, seconds)."""
    def push(number):
        client = Client(server.port)
        while time.monotonic() < deadline:
            text = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [],
                               "annotations": {"bench": f"{number}-{time.time_ns()}"}}).encode()
            client.request("PUT", f"/v2/bench/put/manifests/t{number}-{client.requests}", (201,), text,
                           {"Content-Type": INDEX_TYPE})
        client.close()
        return client.requests

    begun = time.monotonic()
    deadline = begun + bench.options.seconds
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        done = sum(pool.map(push, range(clients)))
    return done, time.monotonic() - begun


def disk_rates(bench, measure):
    """What the disk gives to one writer: a page written again and synced, and a small file made durable."""
    folder = bench.stage.folder("disk")
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    same = os.open(os.path.join(folder, "same"), os.O_CREAT | os.O_WRONLY)
    values = []
    for quantity in ("fsync", "new file"):
        count, begun = 0, time.monotonic()
        while time.monotonic() - begun < bench.options.seconds:
            if quantity == "fsync":
                os.pwrite(same, bytes(1024), 0)
                os.fsync(same)
            else:
                path = os.path.join(folder, f"f{count}")
                fd = os.open(path + ".tmp", os.O_CREAT | os.O_WRONLY)
                os.write(fd, bytes(1024))
                os.fsync(fd)
                os.close(fd)
                os.rename(path + ".tmp", path)
                os.fsync(root)
            count += 1
        values.append((measure, "disk", quantity, "/s", count / (time.monotonic() - begun)))
    os.close(same)
    os.close(root)
    bench.stage.remove(folder)
    return values


def manifest_put_rate(bench, measure, clients):
    with Minato(bench.stage, bench.tools, "disk") as server:
        put_manifests(bench, server, 1)
        done, seconds = put_manifests(bench, server, clients)
    return [(measure, "minato", f"PUT, {clients} at a time", "/s", done / seconds)]


def manifest_put(bench):
    """New manifests under new tags, on disk: four small files made durable each (bytes, revision, tag, its history)."""
    measure = "PUT manifest, disk"
    for _ in bench.rounds(measure):
        bench.sample(lambda: disk_rates(bench, measure))
        for clients in (1, 16):
            bench.sample(lambda clients=clients: manifest_put_rate(bench, measure, clients))


MEASURES = {
    "requests": request_rates,
    "upload-tmpfs": upload_tmpfs,
    "upload-disk": upload_disk,
    "download": download,
    "refused": refused,
    "start": start_to_ready,
    "memory": memory,
    "latency": latency_under_upload,
    "tags": tags,
    "manifest-put": manifest_put,
}
