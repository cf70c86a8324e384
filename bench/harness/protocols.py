# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 and TLS: the same work over another protocol, by the same client, as ratios in one run."""

import os
import re
import socket
import subprocess
import time

from image import Client, local_path
from processes import BenchError, clean_environment, free_port, pinned
from servers import BareH2o, Minato

PING_H2 = "GET /v2/, HTTP/2"
HANDSHAKES = "TLS handshakes, ECDSA P-256"


def make_certificate(folder):
    """(certificate, key): ECDSA P-256, of 127.0.0.1 and localhost."""
    certificate, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return certificate, key


class SecureMinato(Minato):
    """Plain on `port`, TLS on `tls_port`, in one process."""

    def command(self):
        self.tls_port = free_port()
        command = super().command()
        certificate, key = make_certificate(self.scratch)
        command += ["--listen", f"127.0.0.1:{self.port} plain", "--listen", f"127.0.0.1:{self.tls_port}"]
        at = command.index(f"127.0.0.1:{self.port}")
        del command[at - 1:at + 1]
        with open(os.path.join(self.scratch, "minato.yaml"), "r+", encoding="ascii") as file:
            text = file.read().replace("http:\n", f"http:\n  tls: {{certificate: {certificate}, key: {key}}}\n", 1)
            file.seek(0)
            file.write(text)
        return command


# ---- requests per second ----


def h2load(bench, server, seconds):
    """(requests per second, requests, server CPU seconds)."""
    before = server.cpu_seconds()
    out = bench.stage.run(["h2load", "-c32", "-m32", "-D", str(seconds), f"http://127.0.0.1:{server.port}/v2/"])
    spent = server.cpu_seconds() - before
    rate = float(re.search(r"finished in [0-9.]+m?s, ([0-9.]+) req/s", out).group(1))
    done, bad = re.search(r"(\d+) done, \d+ succeeded, (\d+) failed", out).groups()
    if int(bad) > 0:
        raise BenchError(f"{server.name}:\n{out}")
    return rate, int(done), spent


def h2_rate(bench, server):
    server.clear_log()
    rate, requests, spent = h2load(bench, server, bench.options.seconds)
    return [(PING_H2, server.name, "rate", "req/s", rate),
            (PING_H2, server.name, "server CPU", "us/req", spent / requests * 1e6),
            (PING_H2, server.name, "core busy", "%", spent / bench.options.seconds * 100)]


def requests_h2(bench):
    """GET /v2/ by h2load, 32 connections with 32 streams each, in cleartext."""
    with Minato(bench.stage, bench.tools) as minato, BareH2o(bench.stage, bench.tools) as bare:
        for server in (bare, minato):
            h2load(bench, server, 1)
        for _ in bench.rounds("requests per second, HTTP/2"):
            for server in (bare, minato):
                bench.sample(lambda server=server: h2_rate(bench, server))
    bench.results.check_ratio("GET /v2/ over HTTP/2 req/s: minato / bare libh2o", PING_H2, "rate",
                              ("minato", "bare libh2o"), ">=", 0.7)


# ---- uploads ----

VARIANTS = {  # name: (curl's protocol, over TLS)
    "HTTP/1.1": ("--http1.1", False),
    "HTTP/2": ("--http2-prior-knowledge", False),
    "HTTP/1.1 over TLS": ("--http1.1", True),
    "HTTP/2 over TLS": ("--http2", True),
}


def begin(server):
    client = Client(server.port)
    location = local_path(client.request("POST", "/v2/bench/protocols/blobs/uploads/", (202,)).getheader("Location"))
    client.close()
    return location


def url(server, variant, path):
    return f"https://127.0.0.1:{server.tls_port}{path}" if VARIANTS[variant][1] else \
        f"http://127.0.0.1:{server.port}{path}"


def curl(bench, variant, *arguments):
    return bench.stage.run(["curl", "-sS", "-k", VARIANTS[variant][0], "-H", "Expect:", "-o", "/dev/null", "-w",
                            "%{http_code} %{time_total}", *arguments]).split()


def upload_variant(bench, server, variant, path, size):
    location = begin(server)
    before = server.cpu_seconds()
    status, seconds = curl(bench, variant, "-X", "PATCH", "-T", path, url(server, variant, location))
    spent = server.cpu_seconds() - before
    if status != "202":
        raise BenchError(f"{variant}: {status}")
    client = Client(server.port)
    client.request("DELETE", location, (204,))
    client.close()
    return [("upload by curl", variant, "throughput", "MB/s", size / float(seconds) / 1e6),
            ("upload by curl", variant, "server CPU", "s/GB", spent / size * 1e9)]


def uploads_by_protocol(bench):
    """One PATCH of a file on tmpfs over each protocol, on one server; curl is the client of all."""
    size = bench.options.upload_bytes
    source = os.path.join(bench.stage.folder("tmpfs"), "body")
    with open(source, "wb") as file:
        block = os.urandom(64 << 20)
        for _ in range(size // len(block)):
            file.write(block)
    size = os.path.getsize(source)
    with SecureMinato(bench.stage, bench.tools) as server:
        for variant in VARIANTS:
            upload_variant(bench, server, variant, source, size)
        for _ in bench.rounds("upload by protocol"):
            for variant in VARIANTS:
                bench.sample(lambda variant=variant: upload_variant(bench, server, variant, source, size))
        bench.results.add("upload by curl", "minato", "peak RSS", "MB", server.peak_rss_kib() * 1024 / 1e6)
    bench.stage.remove(os.path.dirname(source))
    for over, under, target in (("HTTP/2", "HTTP/1.1", 0.85), ("HTTP/1.1 over TLS", "HTTP/1.1", 0.6),
                                ("HTTP/2 over TLS", "HTTP/1.1 over TLS", 0.6)):
        bench.results.check_ratio(f"upload MB/s: {over} / {under}", "upload by curl", "throughput", (over, under), ">=",
                                  target)


def uploads_at_once(bench, server, source, count, fields=()):
    """`count` PATCHes of the file at once over TLS by one curl; the server's peak RSS in MB."""
    lines = ["parallel", f"parallel-max = {min(count, 300)}", "parallel-immediate", "insecure", "silent", "show-error"]
    for number in range(count):
        lines += [*(["next"] if number > 0 else []), "request = PATCH", f'upload-file = "{source}"',
                  'output = "/dev/null"', "http1.1", "insecure", 'write-out = "%{http_code}\\n"',
                  *(f'header = "{field}"' for field in fields), f'url = "{url(server, "HTTP/1.1 over TLS", begin(server))}"']
    config = os.path.join(server.scratch, "curl")
    with open(config, "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")
    answers = bench.stage.run(["curl", "-Z", "--config", config]).split()
    if answers.count("202") != count:
        raise BenchError(f"{count - answers.count('202')} of {count} uploads failed")
    return server.peak_rss_kib() * 1024 / 1e6


def write_random(folder, size):
    path = os.path.join(folder, "body")
    with open(path, "wb") as file:
        file.write(os.urandom(size))
    return path


def many_uploads(bench):
    """200 uploads at once over TLS: the server's peak RSS."""
    measure, count, folder = "200 uploads over TLS", bench.options.many_uploads, bench.stage.folder("tmpfs")
    source = write_random(folder, 8 << 20)
    for _ in bench.rounds("uploads at once over TLS"):
        with SecureMinato(bench.stage, bench.tools) as server:
            bench.results.add(measure, "minato", "peak RSS", "MB", uploads_at_once(bench, server, source, count))
    bench.stage.remove(folder)
    bench.results.check("200 uploads at once over TLS: peak RSS of minato",
                        bench.results.samples(measure, "minato", "peak RSS"), "<=", (64 + 64) * 1.048576, " MB")


# ---- handshakes ----


class OpensslServer:
    """openssl s_server: the library alone, one process."""

    def __init__(self, bench):
        self.stage = bench.stage
        self.scratch = bench.stage.folder("tmpfs")
        self.tls_port = free_port()

    def __enter__(self):
        certificate, key = make_certificate(self.scratch)
        self.process = self.stage.start(
            pinned(["openssl", "s_server", "-quiet", "-www", "-accept", str(self.tls_port), "-cert", certificate, "-key",
                    key]), env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.tls_port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.02)
        raise BenchError("openssl s_server did not start")

    def __exit__(self, *_):
        self.stage.end(self.process)
        self.stage.remove(self.scratch)


def handshake_rate(bench, name, server, kind):
    out = bench.stage.run(["openssl", "s_time", "-connect", f"127.0.0.1:{server.tls_port}", "-time",
                           str(bench.options.seconds), "-new" if kind == "full" else "-reuse"])
    count, seconds = re.findall(r"(\d+) connections in (\d+) real seconds", out)[-1]
    return [(HANDSHAKES, name, kind, "/s", int(count) / int(seconds))]


def handshakes(bench):
    """New connections by openssl s_time, one after the other, TLS 1.3: full handshakes, and sessions that go on."""
    with SecureMinato(bench.stage, bench.tools) as minato, OpensslServer(bench) as peer:
        for _ in bench.rounds("TLS handshakes"):
            for kind in ("full", "resumed"):
                for name, server in (("minato", minato), ("openssl s_server", peer)):
                    bench.sample(lambda name=name, server=server, kind=kind: handshake_rate(bench, name, server, kind))
    bench.results.check_ratio("full handshakes: minato / openssl s_server", HANDSHAKES, "full",
                              ("minato", "openssl s_server"), ">=", 0.8)


PROTOCOL_MEASURES = {
    "requests-h2": requests_h2,
    "upload-protocols": uploads_by_protocol,
    "many-uploads": many_uploads,
    "handshakes": handshakes,
}
