# SPDX-License-Identifier: Apache-2.0
"""A proxy in front of a store that counts what passes, and misbehaves as told.

    with FaultStore(ceph) as store:
        store.fail(answer(503, slow_down, retry_after=1), method="PUT", path="/link$", skip=2, times=3)
        ...
        store.count(method="PUT"), store.records

Requests and answers are streamed through unchanged, Host and Authorization too: whoever signs for the proxy's address is
understood by the store behind it. A thread for each connection, which is kept as long as both sides keep it.
"""
import random
import re
import socket
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

CHUNK = 1 << 18


class Gone(Exception):
    """A side has closed its connection, or this proxy means to."""


# ---- faults: what happens to a request; made here, given to FaultStore.fail ----

@dataclass(frozen=True)
class Fault:
    name: str
    status: int = 0
    body: bytes = b""
    words: str = ""
    fields: tuple = ()
    seconds: float = 0  # None: for ever


def answer(status, code="", words="Scripted", body=b"", **fields):
    """The store is not asked. `code` is S3's, `words` end the first line; fields are named retry_after for Retry-After."""
    error = f"<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>".encode() if code else b""
    return Fault("answer", status, body or error, words=words, fields=tuple((name.replace("_", "-"), str(value)) for name, value in fields.items()))


def drop_before():
    """The connection ends when the request has come; the store never sees it."""
    return Fault("drop before")


def drop_after():
    """The store acts; its answer is lost."""
    return Fault("drop after")


def answer_after(status):
    """The store acts; what stands between says something else."""
    return Fault("answer after", status, words="Scripted")


def truncate():
    """The store acts; half of its answer's body comes, or half of its head where there is no body."""
    return Fault("truncate")


def stall(seconds=None):
    """Nothing happens for so long (None: for ever), then the request goes on to the store."""
    return Fault("stall", seconds=seconds)


def stall_after(seconds=None):
    """The store acts; its answer comes so much later (None: never)."""
    return Fault("stall after", seconds=seconds)


def trickle(seconds):
    """The answer comes byte by byte, so much later each."""
    return Fault("trickle", seconds=seconds)


def trickle_body(seconds):
    """Its body does."""
    return Fault("trickle body", seconds=seconds)


@dataclass
class Rule:
    fault: Fault
    method: str
    path: re.Pattern
    skip: int
    times: float
    share: float
    hits: int = 0

    def take(self, method, path):
        if self.times <= 0 or (self.method and self.method != method) or not self.path.search(path):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.share < 1 and random.random() >= self.share:
            return False
        self.times -= 1
        self.hits += 1
        return True


@dataclass
class Record:
    """One request: `status` is what the client was told (0: nothing), `fault` the name of what was done to it."""
    method: str
    path: str
    head: str
    begun: float
    received: int = 0  # bytes of the bodies
    sent: int = 0
    status: int = 0
    fault: str = ""
    seconds: float = 0


# ---- messages ----

class Stream:
    """One side of a connection."""

    def __init__(self, sock):
        self.socket, self.buffer = sock, b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def more(self):
        data = self.socket.recv(CHUNK)
        if not data:
            raise Gone
        self.buffer += data

    def head(self):
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        return head + b"\r\n\r\n"

    def take(self, size):
        """Some bytes, `size` at most."""
        if not self.buffer:
            self.more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line + b"\r\n"

    def send(self, data):
        self.socket.sendall(data)

    def close(self):
        self.socket.close()


def field(head, name):
    found = re.search(rb"\r\n" + name.encode() + rb":[ \t]*([^\r]*)", head, re.I)
    return found.group(1).decode() if found else None


def pieces(stream, head, is_bodyless=False):
    """The body that follows `head`, as it is framed, piece by piece."""
    if is_bodyless:
        return
    if (field(head, "transfer-encoding") or "").lower() == "chunked":
        size = None
        while size != 0:
            line = stream.line()
            size = int(line.split(b";")[0], 16)
            yield line
            left = size + 2
            while left > 0:
                data = stream.take(left)
                left -= len(data)
                yield data
        return
    left = int(field(head, "content-length") or 0)
    while left > 0:
        data = stream.take(left)
        left -= len(data)
        yield data


# ---- the proxy ----

class FaultStore:
    def __init__(self, store):
        self.store = store
        parts = urlsplit(store.endpoint)
        self.origin = (parts.hostname, parts.port)
        self.lock = threading.Lock()
        self.rules, self.records, self.streams = [], [], set()
        self.ended = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.ended.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        with self.lock:
            for stream in self.streams:
                try:
                    stream.socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def fail(self, fault, method="", path="", skip=0, times=1, share=1):
        """Does `fault` to the requests that match, after `skip` of them, `times` times (None: from then on), to a `share` of
        them by chance. Of several rules the one made first counts. Returns the rule, which counts its hits."""
        rule = Rule(fault, method, re.compile(path), skip, float("inf") if times is None else times, share)
        with self.lock:
            self.rules.append(rule)
        return rule

    def heal(self):
        """Forgets all rules."""
        with self.lock:
            self.rules.clear()

    def forget(self):
        """Forgets what was recorded."""
        with self.lock:
            self.records.clear()

    def seen(self, method="", path=""):
        """The records of the requests that match, in the order they came."""
        with self.lock:
            return [record for record in self.records
                    if (not method or record.method == method) and re.search(path, record.path)]

    def count(self, method="", path=""):
        return len(self.seen(method, path))

    def configuration(self):
        return {"s3": {**self.store.configuration()["s3"], "endpoint": self.endpoint}}

    def apply(self, config, data):
        """As the store's own, by way of this proxy."""
        config = self.store.apply(config, data)
        config["storage"]["s3"]["endpoint"] = self.endpoint
        return config

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(Stream(sock),), daemon=True).start()

    def _serve(self, client):
        origin = None
        with self.lock:
            self.streams.add(client)
        try:
            while True:
                head = client.head()
                if origin is None:
                    origin = Stream(socket.create_connection(self.origin))
                    with self.lock:
                        self.streams.add(origin)
                self._exchange(client, origin, head)
        except (Gone, OSError):
            pass
        finally:
            with self.lock:
                self.streams -= {client, origin}
            client.close()
            if origin is not None:
                origin.close()

    def _exchange(self, client, origin, head):
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        record = Record(method, path, head.decode(errors="replace"), time.monotonic())
        with self.lock:
            self.records.append(record)
            rule = next((rule for rule in self.rules if rule.take(method, path)), None)
        fault = rule.fault if rule else Fault("")
        record.fault = fault.name
        try:
            if fault.name in ("answer", "drop before"):
                for data in pieces(client, head):
                    record.received += len(data)
                return self._say(client, record, fault)
            self._pass(client, origin, head, record, fault)
        finally:
            record.seconds = time.monotonic() - record.begun

    def _say(self, client, record, fault):
        if fault.name == "drop before":
            raise Gone
        body = b"" if record.method == "HEAD" else fault.body
        fields = "".join(f"{name}: {value}\r\n" for name, value in fault.fields)
        record.status, record.sent = fault.status, len(body)
        client.send(f"HTTP/1.1 {fault.status} {fault.words}\r\nContent-Length: {len(fault.body)}\r\n{fields}\r\n".encode() + body)

    def _wait(self, seconds):
        if self.ended.wait(seconds):
            raise Gone

    def _pass(self, client, origin, head, record, fault):
        if fault.name == "stall":
            self._wait(fault.seconds)
        pending = head
        for data in pieces(client, head):
            origin.send(pending + data)
            pending = b""
            record.received += len(data)
        if pending:
            origin.send(pending)
        head = origin.head()
        while head.split(b" ", 2)[1].startswith(b"1"):
            head = origin.head()
        self._return(client, origin, head, record, fault)

    def _return(self, client, origin, head, record, fault):
        status = int(head.split(b" ", 2)[1])
        body = pieces(origin, head, record.method == "HEAD" or status in (204, 304))
        if fault.name in ("drop after", "answer after", "truncate", "stall after", "trickle", "trickle body"):
            body = [b"".join(body)]
        if fault.name == "drop after":
            raise Gone
        if fault.name == "answer after":
            return self._say(client, record, fault)
        if fault.name == "stall after":
            self._wait(fault.seconds)
        if fault.name == "truncate":
            client.send(head + body[0][:len(body[0]) // 2] if body[0] else head[:len(head) // 2])
            raise Gone
        record.status = status
        if fault.name == "trickle body":
            client.send(head)
            head = b""
        if fault.name in ("trickle", "trickle body"):
            for byte in head + body[0]:
                client.send(bytes([byte]))
                self._wait(fault.seconds)
            return
        pending = head
        for data in body:
            client.send(pending + data)
            pending = b""
            record.sent += len(data)
        if pending:
            client.send(pending)
        if (field(head, "connection") or "").lower() == "close":
            raise Gone
