# SPDX-License-Identifier: Apache-2.0
"""bench/instructions.sh: instructions of the server a request, by group of functions, of one fresh server each."""

import argparse
import json
import os
import re
import socket
import sys
from collections import Counter
from types import SimpleNamespace

from callgrind import under_callgrind
from image import ACCEPT, Client, push_image
from main import ROOT, say
from processes import LOAD_CORE, BenchError, Stage
from results import format_markdown, format_text
from servers import Minato
from stores import Store, StoreMinato

CONNECTIONS = 16
MANIFEST = "/v2/bench/image/manifests/latest"
# What a function is counted under: the first whose pattern its "object:file:function" matches.
GROUPS = (
    ("malloc, free", r"^libc\.so.*:(malloc|calloc|realloc|free|cfree|_int_\w+|unlink_chunk|tcache_\w+|sysmalloc)[\w.@]*$"),
    ("printf", r"^libc\.so.*:(\w*printf\w*|_IO_\w+|__strchrnul_\w+|_itoa_word)[\w.@]*$"),
    ("memory and text of libc", r"^libc\.so.*:_*(mem|str|bcmp|explicit_bzero)\w*[\w.@]*$"),
    ("locks, clock, system calls", r"^libc\.so|^ld-linux|^linux-vdso|^\?\?\?:"),
    ("libh2o", r"^libh2o"),
    ("Redis: hiredis, src/outbound", r"^libhiredis|/src/outbound/"),
    ("TLS, hashes: OpenSSL", r"^lib(crypto|ssl)"),
    ("http", r"/src/http/"),
    ("pipeline, routes, access, api", r"/src/(server|access|api)/"),
    ("log, metrics", r"/src/telemetry/"),
    ("registry, oci", r"/src/(registry|oci)/"),
    ("index", r"/src/index/"),
    ("storage", r"/src/storage/|/storage-drivers/"),
    ("flow, loop, pool", r"/src/async/"),
    ("arena, strbuf", r"/src/base/|/include/minato/"),
)


def group_of(function):
    text = ":".join(function)
    for name, pattern in GROUPS:
        if re.search(pattern, text):
            return name
    return "other"


class Fleet:
    """Keep-alive connections, each with one request under way: the server finds several ready at a time."""

    def __init__(self, port):
        self.connections = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(CONNECTIONS)]

    def get(self, path, status, rounds):
        request = (f"GET {path} HTTP/1.1\r\nHost: registry.example:5000\r\nUser-Agent: containerd/1.7.20\r\n"
                   f"Accept: {ACCEPT}\r\nAccept-Encoding: gzip\r\n\r\n").encode()
        for _ in range(rounds):
            for connection in self.connections:
                connection.sendall(request)
            for connection in self.connections:
                seen = read_answer(connection)
                if not seen.startswith(b"HTTP/1.1 %d " % status):
                    raise BenchError(f"GET {path}: {seen[:300]}")

    def close(self):
        for connection in self.connections:
            connection.close()


def read_answer(connection):
    seen, end = b"", None
    while end is None or len(seen) < end:
        piece = connection.recv(65536)
        if not piece:
            raise BenchError("the connection ended before its answer")
        seen += piece
        if end is None and b"\r\n\r\n" in seen:
            head = seen.index(b"\r\n\r\n") + 4
            end = head + int(re.search(rb"content-length: (\d+)", seen[:head]).group(1))
    return seen


def blob_path(server):
    client = Client(server.port)
    manifest = json.loads(client.request("GET", MANIFEST, (200,), headers={"Accept": ACCEPT}).text)
    client.close()
    return f"/v2/bench/image/blobs/{manifest['layers'][0]['digest']}"


def measure(server, scenarios, rounds):
    """{scenario: Counter of functions, a request}"""
    push_image(server.port, "bench/image", "latest")
    fleet, counted = Fleet(server.port), {}
    for name, path, status in scenarios(server):
        say(name)
        fleet.get(path, status, 4)  # what is remembered is known now
        seen = server.instructions(lambda path=path, status=status: fleet.get(path, status, rounds))
        counted[name] = Counter({function: count / (rounds * CONNECTIONS) for function, count in seen.items()})
    fleet.close()
    return counted


def on_filesystem(stage, tools, rounds):
    with under_callgrind(Minato)(stage, tools) as server:
        return measure(server, lambda _: [("GET /v2/", "/v2/", 200), ("manifest by tag", MANIFEST, 200)], rounds)


def on_store(stage, tools, rounds):
    with Store(stage) as store, under_callgrind(StoreMinato)(stage, tools, store) as server:
        return measure(server, lambda server: [("manifest by tag, S3 and Redis", MANIFEST, 200),
                                               ("blob redirect, S3 and Redis", blob_path(server), 307)], rounds)


def rows_of(counted):
    rows = [("instructions a request", *counted)]
    groups = {name: Counter() for name in counted}
    for name, functions in counted.items():
        for function, count in functions.items():
            groups[name][group_of(function)] += count
    seen = sorted(set().union(*groups.values()), key=lambda group: -max(groups[name][group] for name in counted))
    rows += [(group, *(f"{groups[name][group]:,.0f}" for name in counted)) for group in seen]
    rows.append(("all", *(f"{sum(functions.values()):,.0f}" for functions in counted.values())))
    return rows


def print_functions(counted, count):
    for name, functions in counted.items():
        print(f"\n{name}")
        for function, instructions in functions.most_common(count):
            print(f"{instructions:10,.0f}  {group_of(function):32} {function[2]}  ({function[0]} {os.path.basename(function[1])})")


def main():
    parser = argparse.ArgumentParser(prog="bench/instructions.sh")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--functions", type=int, default=0, metavar="N", help="the N functions that execute most, too")
    parser.add_argument("--rounds", type=int, default=50, help=f"of {CONNECTIONS} requests each")
    parser.add_argument("--only", choices=("filesystem", "store"))
    parser.add_argument("--minato", default=os.path.join(ROOT, "build", "release", "minato"))
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    counted = {}
    with Stage("/dev/shm") as stage:
        for name, count in (("filesystem", on_filesystem), ("store", on_store)):
            if arguments.only in (None, name):
                counted.update(count(stage, SimpleNamespace(minato=arguments.minato), arguments.rounds))
    rows = rows_of(counted)
    print(format_markdown(rows) if arguments.markdown else format_text(rows))
    if arguments.functions:
        print_functions(counted, arguments.functions)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as problem:
        say(problem)
        sys.exit(1)
