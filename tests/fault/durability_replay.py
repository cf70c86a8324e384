# SPDX-License-Identifier: Apache-2.0
"""Acknowledged means durable (DESIGN.md, invariant 3), shown without a power switch: run a program under strace, replay
what it did on a filesystem that keeps only what was synced, cut the power after each acknowledgement, and look.

    durability_replay.py --writer build/asan/tests/durability_writer [--seed N] [--rounds N]
    durability_replay.py --server build/release/minato [--seed N] [--rounds N]

The writer tells its acknowledgements on standard output; the server's are its replies. The same traces with the syncs
taken out must show losses: otherwise this program would prove nothing. Under pytest all of this runs.
"""
import argparse
import copy
import functools
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]

import crash  # noqa: E402
import minato  # noqa: E402
from durability_model import ADVERSARIES, Image, Model, by_chance, without  # noqa: E402
from durability_trace import read_trace, strace_command  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
OWN_FILES = ("minato/tmp/", "minato/parts/", "minato/lock")
ANYTHING = object()


class Loss(AssertionError):
    """A power failure would have taken something that was acknowledged, or left half of something."""


@functools.lru_cache(maxsize=65536)
def sha256(data):
    return hashlib.sha256(data).hexdigest()


# ---- what the writer has said ----------------------------------------------------------------------------------------


class WriterBooks:
    """For each path, the contents it may have; None: no object."""

    def __init__(self):
        self.allowed = {}
        self.tried = {}
        self.parts = {}
        self.acknowledged = 0
        self.lines = b""

    @staticmethod
    def is_early(call):
        return call.name == "write" and call.fd()[0] == 1

    def hear(self, call, model):
        """True if something was acknowledged."""
        if not self.is_early(call):
            return False
        self.lines += call.bytes(1)
        *lines, self.lines = self.lines.split(b"\n")
        heard = [self.hear_line(line.decode(), model) for line in lines]
        return any(heard)

    def hear_line(self, line, model):
        what, *rest = line.split()
        if what == "NAK":
            return False
        verb, path, *values = rest
        allowed = self.allowed.setdefault(path, {None})
        if (what, verb) == ("TRY", "forget"):
            self.parts.pop(path, None)
        elif (what, verb) == ("ACK", "parts"):
            self.parts[path] = (values[0], int(values[1]))
        elif verb == "volatile":
            allowed.add(ANYTHING)
        elif what == "TRY":
            self.tried[path] = values[0] if values else None
            allowed.add(self.tried[path])
        elif verb == "seen":
            # Not the one before; nor one whose rename strace has not reported yet: then its sync looks too early.
            if values[0] == self.tried.get(path) and sha256(model.read(path) or b"") == values[0]:
                self.allowed[path] = {values[0]}
        else:
            self.allowed[path] = {values[0] if values else None}
        self.acknowledged += what == "ACK"
        return what == "ACK"

    def check(self, image):
        for path, allowed in self.allowed.items():
            if ANYTHING in allowed or path in self.parts or path.startswith("minato/parts"):
                continue
            data = image.read(path)
            if (sha256(data) if data is not None else None) not in allowed:
                raise Loss(f"{path}: {'is gone' if data is None else f'has {len(data)} other bytes'}")
        for name, (digest, size) in self.parts.items():
            data = image.read(f"minato/parts/{name}")
            if data is None or sha256(data[:size]) != digest:
                raise Loss(f"multipart {name}: {'is gone' if data is None else f'{size} bytes are not what they were'}")
        for path, _ in image.walk():
            if path not in self.allowed and not path.startswith(OWN_FILES):
                raise Loss(f"{path}: nobody has written that")


# ---- what the server has answered ------------------------------------------------------------------------------------


class Request:
    """One request of a pusher, marked with a header by which the trace shows when it came and when it was answered."""

    def __init__(self, kind, repo, **what):
        self.kind, self.repo, self.what = kind, repo, what


class ServerBooks(crash.Books):
    def __init__(self, requests):
        super().__init__()
        self.requests = requests
        self.current = {}  # descriptor -> the number of the request that is being answered
        self.open_sessions = {}

    def __deepcopy__(self, memo):
        twin = ServerBooks(self.requests)
        for name in ("blobs", "manifests", "tags", "tried_tags", "open_sessions"):
            setattr(twin, name, dict(getattr(self, name)))
        twin.sessions = [list(session) for session in self.open_sessions.values()]
        return twin

    @staticmethod
    def is_early(call):
        return call.name in ("write", "writev", "sendmsg", "sendto") and "socket:" in call.fd()[1].lower() + "socket:" \
            and call.bytes(1)[:9] == b"HTTP/1.1 "

    def hear(self, call, _model):
        fd = call.fd()[0] if call.args and re.match(r"-?\d", call.args[0]) else None
        if call.name in ("read", "readv", "recvfrom", "recvmsg") and call.value > 0:
            for number in re.findall(rb"\r\n[Xx]-[Rr]eplay: (\d+)\r\n", call.bytes(1)):
                self.current[fd] = int(number)
                self.asked(self.requests[int(number)])
        elif self.is_early(call) and fd in self.current and not call.bytes(1).startswith(b"HTTP/1.1 100"):
            return self.answered(self.requests[self.current.pop(fd)], int(call.bytes(1)[9:12]))
        return False

    def asked(self, request):
        if request.kind == "manifest":
            self.tried_tags[request.repo, request.what["tag"]] = minato.digest_of(request.what["data"])
        elif request.kind == "commit":
            self.open_sessions.pop(request.what["session"], None)

    def answered(self, request, status):
        what, repo = request.what, request.repo
        if not 200 <= status < 300:
            raise RuntimeError(f"{request.kind} was answered with {status}")
        self.acknowledged += 1
        if request.kind == "session":
            self.open_sessions[what["session"]] = [None, what["data"], 0, repo]
        elif request.kind == "patch":
            session = self.open_sessions[what["session"]]
            session[0], session[2] = what["reply"][0], session[2] + what["length"]
        elif request.kind == "commit":
            self.blobs[repo, minato.digest_of(what["data"])] = what["data"]
        elif request.kind == "manifest":
            digest = minato.digest_of(what["data"])
            self.manifests[repo, digest] = what["data"]
            self.tags[repo, what["tag"]] = digest
            self.tried_tags.pop((repo, what["tag"]), None)
        return True

    def check(self, image):
        files = dict(image.walk())
        repositories, blobs = "docker/registry/v2/repositories/", "docker/registry/v2/blobs/sha256/"

        def data_of(digest):
            name = digest.removeprefix("sha256:")
            return files.get(f"{blobs}{name[:2]}/{name}/data")

        for path, data in files.items():
            if path.startswith(blobs) and sha256(data) != path.split("/")[-2]:
                raise Loss(f"{path}: holds other bytes than its name says")
            if path.startswith(repositories) and path.endswith("/link") and data_of(data.decode("latin1")) is None:
                raise Loss(f"{path}: dangles, it holds {data[:80]!r}")
        for (repo, digest), data in {**self.blobs, **self.manifests}.items():
            folder = "_manifests/revisions" if (repo, digest) in self.manifests else "_layers"
            link = f"{repositories}{repo}/{folder}/{digest.replace(':', '/')}/link"
            if data_of(digest) != data or files.get(link) != digest.encode():
                raise Loss(f"{repo}@{digest}: bytes {data_of(digest) is not None}, link {link in files}")
        for (repo, tag), digest in self.tags.items():
            found = files.get(f"{repositories}{repo}/_manifests/tags/{tag}/current/link", b"nothing").decode("latin1")
            if found not in (digest, self.tried_tags.get((repo, tag))):
                raise Loss(f"{repo}:{tag}: names {found}, not {digest}")


class Pusher(threading.Thread):
    """Pushes small images one after another and leaves a session open now and then."""

    def __init__(self, number, server, requests, seed, rounds):
        super().__init__()
        self.number, self.requests, self.rounds = number, requests, rounds
        self.random = random.Random(seed * 100 + number)
        self.client = server.client()
        self.error = None

    def run(self):
        try:
            for _ in range(self.rounds):
                self.push_image()
        except Exception as error:  # noqa: BLE001 - told by the test
            self.error = error

    def send(self, request, method, path, body=b""):
        self.requests.append(request)
        # list.append and len of one list are not one step; the index is looked up instead
        number = next(i for i in range(len(self.requests) - 1, -1, -1) if self.requests[i] is request)
        headers = {"X-Replay": str(number), "Content-Type": minato.MANIFEST if "/manifests/" in path
                   else "application/octet-stream"}
        reply = self.client.request(method, path, body=body, headers=headers)
        assert 200 <= reply.status < 300, f"{method} {path}: {reply}"
        return reply

    def push_image(self):
        repo = f"replay/{self.random.choice('ab')}"
        blobs = [self.random.randbytes(self.random.choice((1, 1000, 70_000, 300_000))) for _ in range(2)]
        for data in blobs:
            self.push_blob(repo, data)
        manifest = minato.image_manifest(blobs[0], blobs[1:], annotations={"n": str(self.random.random())})
        tag = f"t{self.random.randint(0, 2)}-{self.number}"
        self.send(Request("manifest", repo, tag=tag, data=manifest), "PUT", f"/v2/{repo}/manifests/{tag}", manifest)

        if self.random.random() < 0.5:
            self.push_blob(repo, self.random.randbytes(50_000), is_left_open=True)

    def push_blob(self, repo, data, is_left_open=False):
        digest = minato.digest_of(data)
        session = object()
        way = 3 if is_left_open else self.random.randint(0, 3)
        if way == 0:
            self.send(Request("commit", repo, data=data, session=session), "POST",
                      f"/v2/{repo}/blobs/uploads/?digest={digest}", data)
            return
        reply = self.send(Request("session", repo, data=data, session=session), "POST", f"/v2/{repo}/blobs/uploads/")
        location = reply.header("location")
        cut = self.random.randint(1, len(data))
        for part in [[], [data], [data[:cut], data[cut:]]][way - 1]:
            later = []
            reply = self.send(Request("patch", repo, session=session, length=len(part), reply=later), "PATCH",
                              location, part)
            location = reply.header("location")
            later.append(location)
        if not is_left_open:
            self.send(Request("commit", repo, data=data, session=session), "PUT",
                      minato.with_query(location, digest=digest), b"" if way > 1 else data)


# ---- replaying -------------------------------------------------------------------------------------------------------


def replay(calls, root, books, seed, keep=0, folder=None):
    """Cuts the power at each moment. Returns the number of images that held, and about `keep` of them, written below
    `folder`, with the books of then."""
    chance = random.Random(seed)
    model = Model(root)
    images, kept = 0, []
    for call in model.play(calls, books.is_early):
        if books.hear(call, model):
            choices = [*ADVERSARIES, by_chance(chance), by_chance(chance)]
        else:
            choices = [chance.choice([*ADVERSARIES, by_chance(chance)])] if chance.random() < 0.1 else []
        for choose in choices:
            image = Image(model, choose)
            try:
                books.check(image)
            except Loss as loss:
                raise Loss(f"after {call!r}, {getattr(choose, '__qualname__', choose)}: {loss}") from None
            images += 1
            if keep and chance.random() < keep / 400:
                target = tempfile.mkdtemp(prefix="image-", dir=folder)
                image.write_to(target)
                kept.append((target, copy.deepcopy(books)))
    return images, kept


def must_lose(calls, root, new_books, seed):
    """The same trace without syncs has to show a loss, whichever syncs are taken."""
    for kinds in (("file",), ("folder",), ("file", "folder")):
        fewer = without(calls, *kinds)
        assert len(fewer) < len(calls), f"the trace has no sync of a {kinds}"
        try:
            images, _ = replay(fewer, root, new_books(), seed)
        except Loss as loss:
            print(f"without syncs of {' and '.join(kinds)}s: {loss}")
            continue
        raise AssertionError(f"without syncs of {' and '.join(kinds)}s nothing was lost in {images} images")


def trace_writer(writer, folder, rounds, seed):
    root, trace = Path(folder) / "root", Path(folder) / "trace"
    root.mkdir()
    subprocess.run([*strace_command(trace), str(writer), str(root), str(rounds), str(seed)], check=True, timeout=300,
                   stdout=subprocess.DEVNULL,
                   env=minato.clean_environment(ASAN_OPTIONS="detect_leaks=0"))
    return read_trace(trace), root


def trace_server(program, folder, rounds, seed):
    trace = Path(folder) / "trace"
    server = minato.Minato(folder=Path(folder) / "server", prefix=strace_command(trace, with_sockets=True),
                           program=program, config=crash.CONFIG, env={"ASAN_OPTIONS": "detect_leaks=0"})
    server.data.mkdir(parents=True)
    requests = []
    with server:
        pushers = [Pusher(number, server, requests, seed, rounds) for number in range(3)]
        for pusher in pushers:
            pusher.start()
        for pusher in pushers:
            pusher.join()
            if pusher.error is not None:
                raise pusher.error
    return read_trace(trace), server.data, requests


def check_on_server(program, target, books):
    """What was acknowledged can be had from a server started on the image, and sessions go on."""
    with minato.Minato(data=target, program=program, config=crash.CONFIG) as server:
        client = server.client()
        crash.check_acknowledged(client, books)
        books.sessions = [session for session in books.sessions if session[0] is not None]
        crash.check_sessions(client, books)
    shutil.rmtree(target)


def find_writer():
    beside = minato.binary().parent / "tests" / "durability_writer"
    for path in (os.environ.get("MINATO_DURABILITY_WRITER"), beside, ROOT / "build" / "asan" / "tests" / beside.name):
        if path and Path(path).exists():
            return Path(path)
    raise FileNotFoundError("durability_writer is not built: cmake --preset asan && cmake --build --preset asan")


# ---- pytest ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def seed():
    value = int(os.environ.get("MINATO_SEED", random.SystemRandom().randint(1, 10**6)))
    print(f"MINATO_SEED={value}")
    return value


def test_the_driver_loses_nothing_it_acknowledged(run_all, seed, tmp_path):
    calls, root = trace_writer(find_writer(), tmp_path, 100 if run_all else 15, seed)
    books = WriterBooks()
    images, _ = replay(calls, root, books, seed)
    print(f"{books.acknowledged} acknowledgements, {images} power failures")
    assert books.acknowledged > 100
    must_lose(calls, root, WriterBooks, seed)


def test_the_server_loses_nothing_it_acknowledged(run_all, seed, tmp_path):
    calls, root, requests = trace_server(minato.binary(), tmp_path, 20 if run_all else 4, seed)
    books = ServerBooks(requests)
    images, kept = replay(calls, root, books, seed, keep=60 if run_all else 8,
                          folder=tmp_path)
    print(f"{books.acknowledged} acknowledgements, {images} power failures, {len(kept)} servers started on what is left")
    assert books.acknowledged == len(requests)
    for target, then in kept:
        check_on_server(minato.binary(), target, then)
    must_lose(calls, root, lambda: ServerBooks(requests), seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--writer", type=lambda text: Path(text).resolve())
    which.add_argument("--server", type=lambda text: Path(text).resolve())
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randint(1, 10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="minato-replay-") as folder:
        if options.writer:
            calls, root = trace_writer(options.writer, folder, options.rounds, options.seed)
            new_books = WriterBooks
        else:
            calls, root, requests = trace_server(options.server, folder, options.rounds, options.seed)
            new_books = functools.partial(ServerBooks, requests)
        books = new_books()
        images, kept = replay(calls, root, books, options.seed, keep=8 if options.server else 0,
                              folder=folder)
        for target, then in kept:
            check_on_server(options.server, target, then)
        print(f"{len(calls)} calls, {books.acknowledged} acknowledgements, {images} power failures, nothing lost")
        must_lose(calls, root, new_books, options.seed)


if __name__ == "__main__":
    main()
