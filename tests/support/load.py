# SPDX-License-Identifier: Apache-2.0
"""Clients that push, delete, pull and list all the time, and hold each answer against what was acknowledged before it
was asked for.

    with Load(replicas) as load:
        load.settle()                       # what is normal, before the fault
        ...
        load.wait_recovered(since, 10)
    load.check_all(replicas)                # nothing that was acknowledged is lost

A tag has one writer. A write whose outcome is not known is repeated until it is acknowledged, and is the tag's last: so
what a tag may be is never in doubt. What is deleted never comes back.
"""
import base64
import http.client
import json
import random
import socket
import statistics
import threading
import time
import traceback
from urllib.parse import urlsplit

import images
from minato import CONFIG, MANIFEST, digest_of, with_query
from users import PASSWORD, USER

TIMEOUT_S = 40  # more than any call of a server to its store may take
SIZES = (0, 100, 5000, 60_000, 250_000)
LARGE = (5 << 20) + 77  # more than the smallest part
CONFIG_BYTES = b"{}"
DELETED = None
AUTHORIZATION = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Write:
    def __init__(self, value):
        self.value, self.begun, self.acknowledged = value, time.monotonic(), None


class Tag:
    """What it was told to be, in order."""

    def __init__(self, repo, name):
        self.repo, self.name, self.writes = repo, name, []

    def acknowledged(self):
        """How many of its writes count: what is older than the last of these is wrong."""
        return max((i + 1 for i, write in enumerate(self.writes) if write.acknowledged), default=0)

    def values(self, since):
        """What it may be, for one who asked when `since` writes counted."""
        return [write.value for write in self.writes[max(since - 1, 0):]]

    def superseded(self, value):
        """When something newer than `value` was acknowledged."""
        at = max(i for i, write in enumerate(self.writes) if write.value == value)
        return self.writes[at + 1].acknowledged


class Sample:
    """A request: `kind` is what its time is compared with."""

    def __init__(self, kind, begun, status):
        self.kind, self.begun, self.status = kind, begun, status  # status 0: no answer
        self.seconds = time.monotonic() - begun
        self.is_served = 0 < status < 500


class Load:
    """`targets` (replicas, a balancer) have a port; each request goes to any of them. `name` keeps the
    repositories of several loads apart. `is_resent`: what stands between sends a PUT or DELETE again whose answer was
    lost."""

    def __init__(self, targets, name, is_resent=False):
        self.targets, self.name, self.is_resent = targets, name, is_resent
        self.lock = threading.Lock()
        self.tags, self.blobs, self.manifests = [], [], {}  # of tags and blobs those that were acknowledged
        self.samples, self.wrong, self.stale, self.normal = [], [], [], {}
        self.acknowledged = 0
        self.is_over = False
        self.workers = [*(Writer(self, i) for i in range(3)), *(Reader(self, i) for i in range(3)), Lister(self, 0)]

    def __enter__(self):
        for worker in self.workers:
            worker.start()
        return self

    def stop(self):
        """Whoever still waits for an answer does without."""
        self.is_over = True
        for worker in self.workers:
            worker.join(0.5)
        for worker in self.workers:
            worker.hang_up()
            worker.join()

    def __exit__(self, kind, value, trace):
        self.stop()
        problems = [worker.error for worker in self.workers if worker.error]
        if kind is None:
            assert not problems and not self.wrong, "\n".join((problems + self.wrong)[:20])

    # ---- what is normal, and whether it is so again ----

    def settle(self):
        """Waits until everything has been done some times; from then on what takes five times as long as nearly all of it
        did is not normal, if it is felt at all."""
        kinds = {"push", "delete", "upload", "tag", "manifest", "blob", "list"}
        self._wait(lambda: all(len(self._times(kind)) >= 6 for kind in kinds), 60, "a few requests of each kind")
        failed = [sample.status for sample in self.samples if not sample.is_served]
        assert not failed, f"before any fault: {failed}"
        self.normal = {kind: max(0.5, 5 * statistics.quantiles(self._times(kind), n=20)[-1]) for kind in kinds}

    def _times(self, kind):
        return [sample.seconds for sample in list(self.samples) if sample.kind == kind]

    def _wait(self, check, wait_s, what):
        deadline = time.monotonic() + wait_s
        while not check():
            assert not self.wrong, self.wrong[0]
            assert not any(worker.error for worker in self.workers), [worker.error for worker in self.workers]
            assert time.monotonic() < deadline, f"{what}: not within {wait_s} s; {self.told(deadline - wait_s)}"
            time.sleep(0.05)

    def is_normal(self, sample):
        return sample.is_served and sample.seconds <= self.normal[sample.kind]

    def recovered_s(self, since):
        """How long after `since` the time began since which 95 % of the requests are served in a normal time."""
        good = count = 0
        found = None
        waiting = [Sample(*worker.asking, 0) for worker in self.workers if worker.asking]
        samples = list(self.samples) + [one for one in waiting if one.seconds > self.normal[one.kind]]
        for sample in sorted((one for one in samples if one.begun >= since), key=lambda one: -one.begun):
            good, count = good + self.is_normal(sample), count + 1
            if good >= 0.95 * count:
                found = sample.begun - since
        return found

    def wait_recovered(self, since, within_s):
        """Waits until a second has been normal."""
        def is_so():
            now = time.monotonic()
            last = [sample for sample in list(self.samples) if sample.begun >= now - 1]
            return now >= since + 1 and len(last) >= 20 and sum(map(self.is_normal, last)) >= 0.95 * len(last)

        self._wait(is_so, within_s + 60, "normal requests")
        found = self.recovered_s(since)
        assert found is not None and found <= within_s, f"recovered after {found} s; {self.told(since)}"
        return found

    def run(self, seconds):
        """Goes on for so long."""
        end = time.monotonic() + seconds
        self._wait(lambda: time.monotonic() >= end, seconds + 10, "time")

    def statuses(self, since=0):
        """{status: how many} of the requests that began after `since`."""
        found = {}
        for sample in list(self.samples):
            if sample.begun >= since:
                found[sample.status] = found.get(sample.status, 0) + 1
        return dict(sorted(found.items()))

    def told(self, since=0):
        """A line on what happened since."""
        samples = [sample for sample in list(self.samples) if sample.begun >= since]
        slowest = max(samples, key=lambda one: one.seconds, default=None)
        slow = slowest and f"{slowest.kind} {slowest.status} {slowest.seconds:.2f} s"
        return (f"{len(samples)} requests {self.statuses(since)}, slowest {slow}, {self.acknowledged} writes acknowledged, "
                f"oldest stale answer {max([age for age, _ in self.stale], default=0):.2f} s")

    def check_stale(self, most_s):
        """No answer was older than what had been acknowledged so long before."""
        late = [f"{age:.2f} s: {text}" for age, text in self.stale if age > most_s]
        assert not late, "\n".join(late[:10])

    # ---- what was acknowledged ----

    def check_all(self, replicas):
        """After the load: each tag and each list at every replica, each blob at one of them, byte by byte."""
        readers = [Reader(self, 100 + i, [replica]) for i, replica in enumerate(replicas)]
        before = len(self.samples), len(self.stale)

        def check(i):
            for tag in list(self.tags):
                readers[i].read_tag(tag)
            for repo in {tag.repo for tag in self.tags}:
                readers[i].read_list(repo)
            for repo, digest in self.blobs[i::len(readers)]:
                readers[i].read_blob(repo, digest, is_followed=True)
            for digest, repo in list(self.manifests.items())[i::len(readers)]:
                readers[i].read_manifest(repo, digest)

        images.in_parallel(check, len(readers))
        assert not self.wrong, "\n".join(self.wrong[:20])
        assert len(self.stale) == before[1], self.stale[before[1]:][:10]
        failed = [(one.kind, one.status) for one in self.samples[before[0]:] if not one.is_served]
        assert not failed, failed[:10]


class Worker(threading.Thread):
    def __init__(self, load, number, targets=None):
        super().__init__(name=f"{type(self).__name__} {number}", daemon=True)
        self.load, self.number, self.targets = load, number, targets or load.targets
        self.random = random.Random(f"{load.name} {self.name}")
        self.connections = {}
        self.asking, self.connection = None, None  # what is under way
        self.error = None

    def run(self):
        try:
            while not self.load.is_over:
                self.work()
        except Exception as error:  # noqa: BLE001 - told by the load
            self.error = f"{self.name}: {error!r}\n{traceback.format_exc()}"
        for connection in self.connections.values():
            connection.close()

    def hang_up(self):
        try:
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        except (AttributeError, OSError):
            pass  # there is none any more

    # ---- requests ----

    def ask(self, kind, method, path, body=None, **fields):
        """(reply, its body), or None if it was not served. Nothing is repeated here."""
        target = self.random.choice(self.targets)
        fields = {name.replace("_", "-"): value for name, value in fields.items()}
        fields["Authorization"] = AUTHORIZATION
        if method in ("POST", "PUT", "PATCH"):
            fields["Content-Length"] = str(len(body or b""))
        begun, status, found = time.monotonic(), 0, None
        self.connection = self.connections.pop(target, None) or http.client.HTTPConnection(
            "127.0.0.1", target.port, timeout=TIMEOUT_S)
        self.asking = kind, begun
        try:
            reply = self.exchange(method, path, body, fields)
            found = reply, reply.read()
            status = reply.status
            if not reply.will_close:
                self.connections[target] = self.connection
        except (OSError, EOFError, http.client.HTTPException):
            self.connection.close()
        self.asking = None
        sample = Sample(kind, begun, status)
        self.load.samples.append(sample)
        if sample.is_served:
            return found
        if not self.load.is_over:
            time.sleep(self.random.uniform(0.01, 0.1))  # as a client would wait
        return None

    def exchange(self, method, path, body, fields):
        try:
            self.connection.request(method, path, body=body, headers=fields)
        except (BrokenPipeError, ConnectionResetError):  # answered while the body was on its way
            if self.connection.sock is None:
                raise
            reply = http.client.HTTPResponse(self.connection.sock, method=method)
            reply.begin()
            reply.will_close = True
            return reply
        return self.connection.getresponse()

    def note_wrong(self, text):
        self.load.wrong.append(f"{time.monotonic():.3f} {self.name}: {text}")

    def expect(self, answer, statuses, what):
        """Whether it was served as one of `statuses`; any other answer is wrong."""
        if answer is not None and answer[0].status not in statuses:
            self.note_wrong(f"{what}: {answer[0].status} {answer[1][:300]}")
        return answer is not None and answer[0].status in statuses


class Writer(Worker):
    """Pushes images to a few tags of its own repository, moves and deletes them."""

    def __init__(self, load, number):
        super().__init__(load, number)
        self.repo = f"{load.name}/writer-{number}"
        self.count = 0
        self.open = []  # tags that may still move
        self.layers = []

    def work(self):
        if not self.layers or self.random.random() < 0.2:
            self.push_layer()
        tag = self.random.choice(self.open) if len(self.open) >= 4 else Tag(self.repo, f"v{self.count}")
        self.count += 1
        if tag.writes and self.random.random() < 0.3:
            self.write(tag, DELETED, lambda is_first: self.delete(tag, is_first))
        elif self.layers:
            manifest = self.manifest()
            self.write(tag, digest_of(manifest), lambda is_first: self.push(tag, manifest))

    def manifest(self):
        def descriptor(digest, size, media_type):
            return {"mediaType": media_type, "digest": digest, "size": size}

        layers = [descriptor(*layer, "application/vnd.oci.image.layer.v1.tar") for layer in self.random.sample(
            self.layers, min(2, len(self.layers)))]
        return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
                           "config": descriptor(digest_of(CONFIG_BYTES), len(CONFIG_BYTES), CONFIG),
                           "annotations": {"number": str(self.count)}}).encode()

    def write(self, tag, value, send):
        """Sent until it is acknowledged."""
        write = Write(value)
        with self.load.lock:
            tag.writes.append(write)
        is_acknowledged = is_sure = send(is_first=True)
        while not is_acknowledged and not self.load.is_over:
            is_acknowledged = send(is_first=False)
        with self.load.lock:
            if is_acknowledged:
                write.acknowledged = time.monotonic()
                self.load.acknowledged += 1
                if value is not DELETED:
                    self.load.manifests[value] = self.repo
                if len(tag.writes) == 1:
                    self.load.tags.append(tag)
        if tag in self.open and (value is DELETED or not is_sure):
            self.open.remove(tag)
        elif tag not in self.open and value is not DELETED and is_sure:
            self.open.append(tag)

    def push(self, tag, manifest):
        answer = self.ask("push", "PUT", f"/v2/{self.repo}/manifests/{tag.name}", manifest, Content_Type=MANIFEST)
        return self.expect(answer, (201,), f"push of {self.repo}:{tag.name}")

    def delete(self, tag, is_first):
        """404: an attempt before, whose answer was lost, has done it."""
        statuses = (202,) if is_first and not self.load.is_resent else (202, 404)
        answer = self.ask("delete", "DELETE", f"/v2/{self.repo}/manifests/{tag.name}")
        return self.expect(answer, statuses, f"delete of {self.repo}:{tag.name}")

    def push_layer(self):
        size = LARGE if self.random.random() < 0.05 else self.random.choice(SIZES)
        for data in [CONFIG_BYTES] * (not self.layers) + [self.random.randbytes(size)]:
            while not self.push_blob(data):
                if self.load.is_over:
                    return
            with self.load.lock:
                self.load.acknowledged += 1
                self.load.blobs.append((self.repo, digest_of(data)))
        self.layers.append((digest_of(data), len(data)))

    def push_blob(self, data):
        """One attempt, from the beginning."""
        cut = self.random.choice((0, len(data) // 2, len(data)))
        answer = self.ask("upload", "POST", f"/v2/{self.repo}/blobs/uploads/")
        if not self.expect(answer, (202,), "begin of an upload"):
            return False
        location = answer[0].getheader("location")
        if cut > 0:
            answer = self.ask("upload", "PATCH", path_of(location), data[:cut])
            if not self.expect(answer, (202,), "upload"):
                return False
            location = answer[0].getheader("location")
        answer = self.ask("upload", "PUT", with_query(path_of(location), digest=digest_of(data)), data[cut:])
        if self.load.is_resent and answer is not None and answer[0].status == 409:
            return False  # the first of them, at a replica that was killed, still has the upload
        return self.expect(answer, (201,), "end of an upload")


class Reader(Worker):
    """Pulls what has been acknowledged."""

    def work(self):
        with self.load.lock:
            tag = self.random.choice(self.load.tags) if self.load.tags else None
            blob = self.random.choice(self.load.blobs) if self.load.blobs else None
        if tag and self.random.random() < 0.5:
            digest = self.read_tag(tag)
            if digest:
                self.read_manifest(tag.repo, digest)
        elif blob:
            self.read_blob(*blob, is_followed=self.random.random() < 0.5)
        else:
            time.sleep(0.01)

    def read_tag(self, tag):
        """What it names now, or None."""
        with self.load.lock:
            since, begun = tag.acknowledged(), time.monotonic()
        answer = self.ask("tag", "GET", f"/v2/{tag.repo}/manifests/{tag.name}", Accept=MANIFEST)
        if not self.expect(answer, (200, 404), f"read of {tag.repo}:{tag.name}"):
            return None
        value = DELETED if answer[0].status == 404 else answer[0].getheader("docker-content-digest")
        if value is not DELETED and digest_of(answer[1]) != value:
            self.note_wrong(f"{tag.repo}:{tag.name} has a body that is not {value}")
        with self.load.lock:
            if value in tag.values(since):
                return value
            if value not in [write.value for write in tag.writes]:
                self.note_wrong(f"{tag.repo}:{tag.name} is {value}, which it never was")
            else:
                self.load.stale.append((begun - tag.superseded(value), f"{tag.repo}:{tag.name} is still {value}"))
        return None

    def read_manifest(self, repo, digest):
        answer = self.ask("manifest", "GET", f"/v2/{repo}/manifests/{digest}", Accept=MANIFEST)
        if self.expect(answer, (200,), f"{repo}@{digest}") and digest_of(answer[1]) != digest:
            self.note_wrong(f"{repo}@{digest} has another body")

    def read_blob(self, repo, digest, is_followed):
        answer = self.ask("blob", "GET", f"/v2/{repo}/blobs/{digest}")
        if not self.expect(answer, (200, 307), f"blob {repo}@{digest}"):
            return
        data = answer[1]
        if answer[0].status == 307:
            data = follow(answer[0].getheader("location")) if is_followed else None
        if isinstance(data, int):
            self.note_wrong(f"the store has not {repo}@{digest}: {data}")
        elif data is not None and digest_of(data) != digest:
            self.note_wrong(f"{repo}@{digest} has another body")

    def read_list(self, repo):
        """All tags that are, none that was deleted; in doubt are those that change meanwhile."""
        with self.load.lock:
            begun = time.monotonic()
            before = {tag: tag.acknowledged() for tag in self.load.tags if tag.repo == repo}
        answer = self.ask("list", "GET", f"/v2/{repo}/tags/list")
        if not self.expect(answer, (200,) if before else (200, 404), f"tags of {repo}") or answer[0].status != 200:
            return
        listed = set(json.loads(answer[1])["tags"])
        with self.load.lock:
            for tag, since in before.items():
                values = tag.values(since)
                if (tag.name in listed) in {value is not DELETED for value in values}:
                    continue
                at = tag.writes[since - 1 if values[0] is DELETED else 0].acknowledged
                state = "still" if tag.name in listed else "not"
                self.load.stale.append((begun - at, f"{tag.repo}:{tag.name} is {state} listed"))


class Lister(Reader):
    def work(self):
        with self.load.lock:
            repos = sorted({tag.repo for tag in self.load.tags})
        if repos:
            self.read_list(self.random.choice(repos))
        else:
            time.sleep(0.01)


def path_of(location):
    return location if location.startswith("/") else "/" + location.split("/", 3)[3]


def follow(location):
    """What the store gives to whoever follows a redirect: bytes, None if it is out of reach, or a status that it should not
    answer."""
    url = urlsplit(location)
    connection = http.client.HTTPConnection(url.netloc, timeout=TIMEOUT_S)
    try:
        connection.request("GET", f"{url.path}?{url.query}")
        reply = connection.getresponse()
        body = reply.read()
        if reply.status == 200:
            return body
        return reply.status if reply.status == 404 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
