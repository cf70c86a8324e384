# SPDX-License-Identifier: Apache-2.0
"""On Ceph's gateway: uploads beside the least they can cost, requests made to the store and to Redis, and what an index is
worth. The server has core 0; the store, Redis, the load and this program share core 1."""

import json
import subprocess
import time
from collections import Counter
from statistics import median

from image import ACCEPT, INDEX_TYPE, Client, digest_of, pull_image, push_image
from measures import MANIFEST_PATH, list_cold, list_warm, request_rate, run_wrk, timed_upload
from processes import SERVER_CORE, BenchError
from protocols import uploads_at_once, write_random
from servers import BareH2o
from stores import Relay, SecureStoreMinato, Store, StoreDockerRegistry, StoreMinato, Traffic

UPLOAD = "upload, S3"
FIRST_UPLOAD = 40 << 20  # in parts, so that the store has made what it makes for the first of a kind
REDIRECT = "GET blob, sent to S3"
MANIFEST = "GET manifest by tag, S3"
TAGS = "tags/list?n=100 of many, S3"
KINDS = ("HEAD", "GET", "PUT", "LIST", "DELETE", "POST")


# ---- uploads ----


def upload_to_store(bench, kind):
    with Store(bench.stage) as store, kind(bench.stage, bench.tools, store) as server:
        values = timed_upload(bench, server, UPLOAD, bench.options.store_upload_bytes, FIRST_UPLOAD)
    rate = next(value for _, name, quantity, _, value in values if (name, quantity) == (kind.name, "throughput"))
    return [*values, (UPLOAD, kind.name, "wall time", "s", bench.options.store_upload_bytes / rate / 1e6)]


def raw_multipart(bench):
    """The relay's parts from memory: nothing is received and nothing hashed."""
    size = bench.options.store_upload_bytes
    with Store(bench.stage) as store:
        for number in (FIRST_UPLOAD, size):
            bench.stage.remove(bench.warm_memory(number))
            done = json.loads(bench.stage.run(["taskset", "-c", str(SERVER_CORE), bench.tools.relay, "raw", str(number),
                                               *store.coordinates()]))
    return [(UPLOAD, "raw multipart", "throughput", "MB/s", done["bytes"] / done["seconds"] / 1e6),
            (UPLOAD, "raw multipart", "server CPU", "s/GB", done["cpu_seconds"] / done["bytes"] * 1e9),
            (UPLOAD, "raw multipart", "wall time", "s", done["seconds"])]


def uploads(bench):
    """1 GB by one PATCH, to a fresh store each time."""
    for _ in bench.rounds(UPLOAD):
        bench.sample(lambda: raw_multipart(bench))
        for kind in (Relay, StoreMinato, StoreDockerRegistry):
            bench.sample(lambda kind=kind: upload_to_store(bench, kind))
    bench.results.check_ratio("upload to S3, wall time: minato / minimal relay", UPLOAD, "wall time",
                              ("minato", "minimal relay"), "<=", 1.15)
    bench.results.check("upload to S3: minato's final PUT", bench.results.samples(UPLOAD, "minato", "final PUT"), "<=",
                        0.3, " s")


def many_uploads(bench):
    """200 uploads at once over TLS, chunked as docker sends them: the server's peak RSS. Below a part each, then above."""
    count, limit = bench.options.many_uploads, (64 + 64) * 1.048576
    for size in (8, 17):
        measure, folder = f"200 uploads of {size} MiB over TLS, S3", bench.stage.folder("tmpfs")
        source = write_random(folder, size << 20)
        for _ in bench.rounds(measure):
            with Store(bench.stage) as store, SecureStoreMinato(bench.stage, bench.tools, store) as server:
                peak = uploads_at_once(bench, server, source, count, ["Transfer-Encoding: chunked"])
            bench.results.add(measure, "minato", "peak RSS", "MB", peak)
        bench.stage.remove(folder)
        bench.results.check(f"{measure}: peak RSS of minato", bench.results.samples(measure, "minato", "peak RSS"), "<=",
                            limit, " MB")


# ---- requests made ----


def kind_of(request):
    path, _, query = request.target.partition("?")
    is_list = request.method == "GET" and path.count("/") == 1 and query
    return "LIST" if is_list else request.method


def count_requests(store, work):
    """What `work` makes the server ask of the store, by kind, and of Redis."""
    before = len(store.settled_requests())
    traffic = Traffic(store.redis)
    work()
    seen = [request for request in store.settled_requests(before) if request.agent != Client.AGENT]
    commands, round_trips = traffic.since_last()
    traffic.close()
    put_bytes = sum(request.bytes for request in seen if request.method == "PUT")
    return {**Counter(kind_of(request) for request in seen), "Redis": round_trips, "Redis commands": commands,
            "MiB put": round(put_bytes / (1 << 20), 1)}


def push_and_pull(bench, kind):
    """{what: counts}, each cold with a server that has just started, beside an index that knows nothing."""
    image = {"layers": 10, "layer_bytes": 1 << 20}
    counts = {}
    with Store(bench.stage) as store:
        with kind(bench.stage, bench.tools, store) as server:
            counts["push, new"] = count_requests(store, lambda: push_image(server.port, "bench/image", "v1", **image))
            counts["push, known"] = count_requests(store, lambda: push_image(server.port, "bench/image", "v2", **image))
        store.redis.command("FLUSHALL")
        with kind(bench.stage, bench.tools, store) as server:
            counts["pull, cold"] = count_requests(store, lambda: pull_image(server.port, "bench/image", "v1"))
            counts["pull, warm"] = count_requests(store, lambda: pull_image(server.port, "bench/image", "v1"))
    return counts


def requests_made(bench):
    """Requests of the server to the store and to Redis for an image of ten layers of 1 MiB, pushed and pulled as docker does."""
    counts = {}
    for kind in (StoreMinato, StoreDockerRegistry):
        bench.say(f"requests made by {kind.name}")
        counts[kind.name] = push_and_pull(bench, kind)
    columns = (*KINDS, "all", "MiB put", "Redis", "Redis commands")
    rows = [("an image of 10 layers", "server", *columns)]
    for what in counts[StoreMinato.name]:
        for name, by_server in counts.items():
            seen = {**by_server[what], "all": sum(by_server[what].get(one, 0) for one in KINDS)}
            rows.append((what, name, *(str(seen.get(column, 0)) for column in columns)))
    bench.results.tables_made.append(rows)


# ---- what an index is worth ----


def reads_of_the_index(bench, store, server, path, status):
    """A thousand GETs, one after the other: what each costs the store and Redis."""
    client, count = Client(server.port), 1000
    client.request("GET", path, (status,), headers={"Accept": ACCEPT})

    def read():
        for _ in range(count):
            client.request("GET", path, (status,), headers={"Accept": ACCEPT})

    seen = count_requests(store, read)
    client.close()
    return seen["Redis"] / count, sum(seen.get(one, 0) for one in KINDS) / count


def rate_on_store(bench, measure, path_of, status, target):
    """GETs by wrk against the bare handler, which answers with as large a head, and docker-registry on the same store."""
    results = bench.results
    with Store(bench.stage) as store, StoreMinato(bench.stage, bench.tools, store) as minato, \
            StoreDockerRegistry(bench.stage, bench.tools, store) as peer:
        for server in (minato, peer):
            push_image(server.port, "bench/image", "latest")
        paths = {server: path_of(server) for server in (minato, peer)}
        head_bytes = minato.response_head_bytes(paths[minato])
        with BareH2o(bench.stage, bench.tools, head_bytes=head_bytes) as bare:
            turns = [("/v2/", bare), (paths[minato], minato), (paths[peer], peer)]
            for path, server in turns:
                run_wrk(bench, server, path, 1)
            for _ in bench.rounds(measure):
                for path, server in turns:
                    bench.sample(lambda path=path, server=server: request_rate(bench, measure, path, server))
        round_trips, requests = reads_of_the_index(bench, store, minato, paths[minato], status)
    results.add(measure, "minato", "round trips to Redis", "/req", round_trips)
    results.add(measure, "minato", "requests to S3", "/req", requests)
    results.check_ratio(f"{measure}, req/s: minato / bare libh2o", measure, "rate", ("minato", "bare libh2o"), ">=", target)
    results.check(f"{measure}: round trips to Redis", [round_trips], "==", 1)
    results.check(f"{measure}: requests to S3", [requests], "==", 0)


def path_of_layer(server):
    client = Client(server.port)
    manifest = json.loads(client.request("GET", MANIFEST_PATH, (200,), headers={"Accept": ACCEPT}).text)
    client.close()
    return f"/v2/bench/image/blobs/{manifest['layers'][0]['digest']}"


def redirect_rate(bench):
    """A blob's GET, answered with 307: one round trip to Redis, none to the store."""
    rate_on_store(bench, REDIRECT, path_of_layer, 307, 0.5)


def manifest_rate(bench):
    """A manifest's GET by its tag: one round trip to Redis, none to the store."""
    rate_on_store(bench, MANIFEST, lambda server: MANIFEST_PATH, 200, 0.35)


# ---- many tags ----


def put_tags(store, server, count):
    """A repository of `count` tags that name one manifest; their history is left out, as nothing here reads it."""
    manifest = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}).encode()
    client = Client(server.port)
    client.request("PUT", "/v2/bench/tags/manifests/build-000000", (201,), manifest, {"Content-Type": INDEX_TYPE})
    client.close()
    folder = f"{server.prefix()}/docker/registry/v2/repositories/bench/tags/_manifests/tags"
    store.put_links(folder, count, digest_of(manifest))


def rate_around_a_wipe(bench, store, server, tags):
    """Manifest GETs of a thousand tags by 16 connections: what the rate is before Redis is wiped, and when it is back."""
    before_s, after_s, count = 5, 15, min(tags, 1000)
    load = bench.stage.start([bench.tools.tag_rates, str(server.port), "/v2/bench/tags/manifests/build-", str(count), "16",
                              str(before_s + after_s)], stdout=subprocess.PIPE, text=True)
    load.stdout.readline()
    begun = time.monotonic()
    time.sleep(before_s)
    store.redis.command("FLUSHALL")
    wiped = time.monotonic() - begun
    seen = json.loads(load.communicate(timeout=60)[0])
    bench.stage.end(load)
    if seen["errors"] > 0:
        raise BenchError(f"{seen['errors']} GETs failed around the wipe")
    bins, at = seen["answers"], int(wiped * 1000 / seen["interval_ms"])
    full = median(bins[10:at])
    back = next((i for i in range(at, len(bins) - 4) if sum(bins[i:i + 5]) >= 0.9 * 5 * full), len(bins))
    bench.say(f"manifests of {count} tags in each tenth of a second from the wipe on: {bins[at:at + 50]}")
    return [(TAGS, "minato", "manifests before the wipe", "/s", full * 10),
            (TAGS, "minato", "manifests in the second after it", "/s", sum(bins[at:at + 10])),
            (TAGS, "minato", "90 % of the rate again", "s", (back - at) / 10)]


def many_tags(bench):
    """A page of 100 from the middle of 100,000 tags, cold and warm, and what wiping Redis costs."""
    count = bench.options.tags
    path = f"/v2/bench/tags/tags/list?n=100&last=build-{count // 2:06d}"
    with Store(bench.stage) as store:
        with StoreMinato(bench.stage, bench.tools, store) as server:
            begun = time.monotonic()
            put_tags(store, server, count)
            bench.say(f"{count:,} tags written in {time.monotonic() - begun:.0f} s")
        for _ in bench.rounds(f"tags/list of {count:,} tags on S3"):
            store.redis.command("FLUSHALL")
            with StoreMinato(bench.stage, bench.tools, store) as server:
                bench.sample(lambda server=server: list_cold(bench, server, path, TAGS))
                bench.sample(lambda server=server: list_warm(bench, server, path, TAGS))
                bench.sample(lambda server=server: rate_around_a_wipe(bench, store, server, count))
    bench.results.check(f"tags/list?n=100 of {count:,} tags on S3: p99 warm", bench.results.samples(TAGS, "minato", "p99"),
                        "<=", 10, " ms")


STORE_MEASURES = {
    "s3-upload": uploads,
    "s3-many-uploads": many_uploads,
    "s3-requests": requests_made,
    "s3-redirect": redirect_rate,
    "s3-manifest": manifest_rate,
    "s3-tags": many_tags,
}
