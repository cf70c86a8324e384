# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments under parallel pushes, over and over on one folder (DESIGN.md, invariants 3 and 7).

After each restart: what was acknowledged reads back intact; what was under way is there as a whole or not at all; no
link in the folder dangles; sessions go on where their last acknowledged chunk ended. What kill -9 cannot show, loss of
what was not synced, is the business of durability_replay.
"""
import hashlib
import os
import random
import threading
import time
from pathlib import Path

import pytest

import minato
from minato import digest_of, image_manifest, with_query

CONFIG = {"http": {"secret": "crash-test-secret-" * 4}, "log": {"level": "warn"}}
PUSHERS = 6
SIZES = (0, 1, 1000, 65_536, 70_000, 400_000, 2_500_000)


class Books:
    """What the pushers were told, and what they had asked for when the lights went out."""

    def __init__(self, tags=()):
        self.lock = threading.Lock()
        self.blobs = {}  # (repo, digest) -> bytes, acknowledged
        self.tried_blobs = {}  # asked for, answer lost
        self.manifests = {}  # (repo, digest) -> bytes
        self.tags = dict(tags)  # (repo, tag) -> digest of the last acknowledged, also of earlier rounds
        self.tried_tags = {}  # (repo, tag) -> digest that was asked for after that
        self.sessions = []  # [location, bytes, acknowledged offset, repo]
        self.acknowledged = 0


class Pusher(threading.Thread):
    def __init__(self, number, server, books, seed):
        super().__init__()
        self.number, self.server, self.books = number, server, books
        self.random = random.Random(seed)
        self.error = None

    def run(self):
        client = self.server.client(timeout=30)
        try:
            while True:
                self.push_image(client)
        except (OSError, EOFError, minato.http.client.HTTPException):
            pass  # the server was killed
        except Exception as error:  # noqa: BLE001 - told by the test
            if self.server.is_running():
                self.error = error

    def push_image(self, client):
        repo = f"crash/{self.random.choice('ab')}/{self.number}"
        blobs = [self.random.randbytes(self.random.choice(SIZES)) for _ in range(self.random.randint(1, 3))]
        for data in blobs:
            self.push_blob(client, repo, data)
        manifest = image_manifest(blobs[0], blobs[1:], annotations={"n": str(self.random.random())})
        tag = f"t{self.random.randint(0, 4)}"
        key, digest = (repo, tag), digest_of(manifest)
        with self.books.lock:
            self.books.tried_tags[key] = digest
        reply = client.put_manifest(repo, tag, manifest)
        assert reply.status == 201, reply
        with self.books.lock:
            self.books.manifests[repo, digest] = manifest
            self.books.tags[key] = digest
            del self.books.tried_tags[key]
            self.books.acknowledged += 1

    def push_blob(self, client, repo, data):
        digest = digest_of(data)
        with self.books.lock:
            self.books.tried_blobs[repo, digest] = data
        way = self.random.randint(0, 4)
        if way == 0:
            reply = client.request("POST", f"/v2/{repo}/blobs/uploads/?digest={digest}", body=data)
        else:
            location = client.begin_upload(repo)
            session = [location, data, 0, repo]
            with self.books.lock:
                self.books.sessions.append(session)
            cut = self.random.randint(0, len(data))
            parts = [[], [data], [data[:cut], data[cut:]], [data[:cut]]][way - 1]
            for part in parts:
                reply = client.request("PATCH", location, body=part)
                assert reply.status == 202, reply
                location = reply.header("location")
                with self.books.lock:
                    session[0], session[2] = location, session[2] + len(part)
            reply = client.request("PUT", with_query(location, digest=digest), body=data[sum(map(len, parts)):])
            with self.books.lock:
                self.books.sessions.remove(session)
        assert reply.status == 201, reply
        with self.books.lock:
            self.books.blobs[repo, digest] = data
            del self.books.tried_blobs[repo, digest]
            self.books.acknowledged += 1


def check_acknowledged(client, books):
    for (repo, digest), data in books.blobs.items():
        reply = client.get(f"/v2/{repo}/blobs/{digest}")
        assert reply.status == 200, f"acknowledged blob {repo}@{digest}: {reply}"
        assert reply.body == data, f"acknowledged blob {repo}@{digest} came back with other bytes"
    for (repo, digest), data in books.manifests.items():
        reply = client.get(f"/v2/{repo}/manifests/{digest}")
        assert (reply.status, reply.body) == (200, data), f"acknowledged manifest {repo}@{digest}: {reply}"
    for (repo, tag), digest in books.tags.items():
        reply = client.head(f"/v2/{repo}/manifests/{tag}")
        allowed = {digest, books.tried_tags.get((repo, tag))}
        assert reply.status == 200 and reply.header("docker-content-digest") in allowed, \
            f"acknowledged tag {repo}:{tag}: {reply}, not {allowed}"


def settled_tags(client, books):
    """What each tag turned out to be: from now on it must stay that, or move on with an acknowledged push."""
    found = {}
    for repo, tag in [*books.tags, *books.tried_tags]:
        reply = client.head(f"/v2/{repo}/manifests/{tag}")
        if reply.status == 200:
            found[repo, tag] = reply.header("docker-content-digest")
    return found


def check_unacknowledged(client, books):
    for (repo, digest), data in books.tried_blobs.items():
        reply = client.get(f"/v2/{repo}/blobs/{digest}")
        assert reply.status == 404 or reply.body == data, f"half a blob {repo}@{digest} is visible"
    for (repo, tag), digest in books.tried_tags.items():
        reply = client.get(f"/v2/{repo}/manifests/{tag}")
        if (repo, tag) not in books.tags:
            assert reply.status == 404 or reply.header("docker-content-digest") == digest, f"{repo}:{tag}: {reply}"


def check_sessions(client, books):
    for location, data, acknowledged, repo in books.sessions:
        reply = client.get(location)
        digest = digest_of(data)
        if reply.status == 404:
            # Only a session whose commit was under way may be over.
            assert client.get(f"/v2/{repo}/blobs/{digest}").body == data, f"an open session of {repo} is gone"
            continue
        assert reply.status == 204, reply
        last = int(reply.header("range").split("-")[1])
        offset = last + 1 if last else min(acknowledged, 1)  # "0-0" says none and one
        assert offset >= acknowledged, f"{acknowledged} bytes were acknowledged, {offset} are there"
        steps = [f"GET {reply.status} {reply.header('range')}"]
        for offset in (offset, 1):
            if offset >= len(data):
                break
            reply = client.request("PATCH", reply.header("location"), body=data[offset:],
                                   headers={"Content-Range": f"{offset}-{len(data) - 1}"})
            steps.append(f"PATCH {offset}- {reply.status} {reply.header('range')}")
            if reply.status != 416:
                break
            assert offset == 0, f"the session does not stand at {offset}, as it says: {reply}"
        if reply.status == 404 and acknowledged == 0:
            # The commit of a whole body was under way; nothing of it had been promised. The client begins anew.
            assert client.push_blob(repo, data) == digest
            continue
        if reply.status in (202, 204, 416):
            reply = client.request("PUT", with_query(reply.header("location"), digest=digest),
                                   headers={"Content-Length": "0"})
        assert reply.status == 201 or client.get(f"/v2/{repo}/blobs/{digest}").body == data, \
            f"a session of {len(data)} bytes, {acknowledged} of them acknowledged, does not end well: {steps}, then {reply}"
        if reply.status == 201:
            assert client.get(f"/v2/{repo}/blobs/{digest}").body == data


def check_repositories(client, root, unfinished):
    """Every tag in a list resolves, and everything its manifest names can be read. `unfinished`: tags whose first push
    was cut off: they may be listed, as their folders exist, and resolve to nothing."""
    repositories = root / "docker" / "registry" / "v2" / "repositories"
    for manifests in repositories.glob("**/_manifests"):
        repo = str(manifests.parent.relative_to(repositories))
        reply = client.get(f"/v2/{repo}/tags/list")
        for tag in reply.json()["tags"] if reply.status == 200 else []:
            reply = client.get(f"/v2/{repo}/manifests/{tag}")
            if reply.status == 404 and (repo, tag) in unfinished:
                continue
            assert reply.status == 200, f"{repo}:{tag} is in the list and does not resolve: {reply}"
            document = reply.json()
            for one in [document["config"], *document["layers"]]:
                assert client.head(f"/v2/{repo}/blobs/{one['digest']}").status == 200, \
                    f"{repo}:{tag} names {one['digest']}, which is not there"


def check_folder(root, known):
    """Every link names bytes that exist and have that digest. `known`: digests hashed in earlier rounds."""
    tree = root / "docker" / "registry" / "v2"
    links = 0
    for link in tree.glob("repositories/**/link"):
        text = link.read_text()
        algorithm, _, name = text.partition(":")
        assert algorithm in ("sha256", "sha512") and len(name) == {"sha256": 64, "sha512": 128}[algorithm], \
            f"{link} holds {text!r}"
        data = tree / "blobs" / algorithm / name[:2] / name / "data"
        assert data.is_file(), f"{link} dangles: {data} is not there"
        links += 1
    for data in tree.glob("blobs/*/??/*/data"):
        name, algorithm = data.parent.name, data.parent.parent.parent.name
        stat = data.stat()
        if known.get(name) == (stat.st_ino, stat.st_size, stat.st_mtime_ns):
            continue
        with open(data, "rb") as bytes_:
            assert hashlib.file_digest(bytes_, algorithm).hexdigest() == name, f"{data} has other bytes than its name"
        known[name] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    return links


@pytest.fixture
def seed():
    value = int(os.environ.get("MINATO_SEED", random.SystemRandom().randint(1, 10**9)))
    print(f"MINATO_SEED={value}")
    return value


def test_killed_at_any_moment_it_keeps_what_it_acknowledged(run_all, seed, tmp_path):
    rounds = 200 if run_all else 20
    chance = random.Random(seed)
    root = tmp_path / "data"
    known = {}
    history = Books()
    acknowledged = links = resumed = 0
    tags = {}
    unfinished = set()
    for number in range(rounds):
        books = Books(tags)
        server = minato.Minato(folder=tmp_path / f"server-{number}", data=root, config=CONFIG).start()
        pushers = [Pusher(i, server, books, chance.random()) for i in range(PUSHERS)]
        for pusher in pushers:
            pusher.start()
        time.sleep(chance.uniform(0.02, 0.6))
        server.kill()
        for pusher in pushers:
            pusher.join()
        errors = [pusher.error for pusher in pushers if pusher.error]
        assert not errors, f"round {number}: {errors}"

        links = check_folder(root, known)
        again = minato.Minato(folder=tmp_path / f"server-{number}", data=root, config=CONFIG).start()
        try:
            client = again.client()
            check_acknowledged(client, books)
            check_unacknowledged(client, books)
            check_sessions(client, books)
            unfinished |= set(books.tried_tags)
            unfinished -= set(books.tags)
            check_repositories(client, root, unfinished)
            tags = settled_tags(client, books)
            client.close()
        except AssertionError as error:
            raise AssertionError(f"round {number}, seed {seed}: {error}\n{again.log_tail()}") from error
        finally:
            if again.is_running():
                again.stop()
        acknowledged += books.acknowledged
        resumed += len(books.sessions)
        # Bytes of old rounds are not kept here: their digests tell.
        history.blobs.update({key: None for key in books.blobs})
        history.manifests.update({key: None for key in books.manifests})
    check_folder(root, {})
    with minato.Minato(data=root, config=CONFIG) as last:
        client = last.client()
        for kind, keys in (("blobs", history.blobs), ("manifests", history.manifests)):
            for repo, digest in keys:
                reply = client.get(f"/v2/{repo}/{kind}/{digest}")
                assert reply.status == 200 and digest_of(reply.body) == digest, f"{repo}@{digest} of an earlier round"
        client.close()
    print(f"{rounds} rounds, {acknowledged} writes acknowledged, {links} links, {resumed} sessions resumed")
    assert acknowledged > rounds


@pytest.mark.parametrize("moment", ["as soon as it listens", "while it drains"])
def test_killed_while_starting_or_stopping(tmp_path, moment):
    root = tmp_path / "data"
    with minato.Minato(data=root) as server:
        manifest = server.client().push_image("t/early", "v1", [b"x" * 100_000])
    for _ in range(5):
        server = minato.Minato(folder=tmp_path / "server", data=root).start()
        if moment == "while it drains":
            wire = server.wire()
            wire.head("POST", f"/v2/t/early/blobs/uploads/?digest={digest_of(b'')}", "Content-Length: 1000").send(b"x")
            server.process.terminate()
            time.sleep(0.05)
        server.kill()
    check_folder(Path(root), {})
    with minato.Minato(data=root) as server:
        assert server.client().get("/v2/t/early/manifests/v1").body == manifest
