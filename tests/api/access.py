# SPDX-License-Identifier: Apache-2.0
"""Who may do what: htpasswd, anonymous access, and passwords that are guessed."""
import base64
import statistics
import subprocess
import threading
import time

import pytest

import minato
from minato import digest_of, wait_until, with_query

FORBIDDEN = [
    ("GET", "/v2/"), ("GET", "/v2/t/a/manifests/v1"), ("HEAD", "/v2/t/a/manifests/v1"), ("PUT", "/v2/t/a/manifests/v1"),
    ("GET", "/v2/t/a/blobs/sha256:" + "0" * 64), ("HEAD", "/v2/t/a/blobs/sha256:" + "0" * 64),
    ("POST", "/v2/t/a/blobs/uploads/"), ("PATCH", "/v2/t/a/blobs/uploads/u"), ("PUT", "/v2/t/a/blobs/uploads/u"),
    ("GET", "/v2/t/a/blobs/uploads/u"), ("DELETE", "/v2/t/a/blobs/uploads/u"), ("GET", "/v2/t/a/tags/list"),
]


def htpasswd(path, users, cost=5):
    """users: {name: password}; bcrypt at a cost that tests can afford."""
    lines = [subprocess.run(["htpasswd", "-nbB", "-C", str(cost), name, password], check=True, capture_output=True,
                            text=True).stdout.strip() for name, password in users.items()]
    path.write_text("\n".join(lines) + "\n")


def server_with(start, tmp_path, anonymous=None, users=None, cost=5):
    htpasswd(tmp_path / "users", users or {"alice": "wonder", "bob": "builder"}, cost)
    auth = {"htpasswd": {"file": tmp_path / "users", "realm": "harbour"}}
    if anonymous:
        auth["anonymous"] = anonymous
    return start(config={"auth": auth, "http": {"secret": "s" * 40}})


def test_without_a_password_everything_but_health_is_401_with_a_challenge(start, tmp_path):
    server = server_with(start, tmp_path)
    client = server.client()
    for method, path in FORBIDDEN:
        reply = client.request(method, path, headers={"Content-Length": "0"})
        assert reply.status == 401, (method, path, reply)
        assert reply.header("www-authenticate").startswith('Basic realm="harbour"')
        if method != "HEAD":
            assert reply.error_code() == "UNAUTHORIZED"
    assert client.get("/healthz").status == 200
    assert client.get("/readyz").status == 200


@pytest.mark.threads
def test_user_with_the_right_password_pushes_and_pulls(start, tmp_path):
    server = server_with(start, tmp_path, "none")
    client = server.client(user="alice", password="wonder")
    assert client.get("/v2/").status == 200
    manifest = client.push_image("t/a", "v1")
    assert server.client(user="bob", password="builder").get("/v2/t/a/manifests/v1").body == manifest


@pytest.mark.parametrize("header", [
    "Basic " + base64.b64encode(b"alice:wrong").decode(),
    "Basic " + base64.b64encode(b"alice:").decode(),
    "Basic " + base64.b64encode(b"nobody:wonder").decode(),
    "Basic " + base64.b64encode(b":wonder").decode(),
    "Basic " + base64.b64encode(b"alice").decode(),
    "Basic " + base64.b64encode(b"alice:wonder\0x").decode(),
    "Basic " + base64.b64encode(b"Alice:wonder").decode(),
    "Basic " + base64.b64encode(b"a" * 4000 + b":x").decode(),
    "Basic !!!", "Basic", "Bearer abc", "Digest x", "nonsense",
], ids=lambda header: header[:30])
def test_wrong_credentials_answer_401(start, tmp_path, header):
    server = server_with(start, tmp_path, "none")
    reply = server.client().request("GET", "/v2/", headers={"Authorization": header})
    assert (reply.status, reply.error_code()) == (401, "UNAUTHORIZED")
    assert reply.header("www-authenticate")


def test_wrong_credentials_are_refused_even_where_anonymous_may(start, tmp_path):
    server = server_with(start, tmp_path, "push")
    client = server.client(user="alice", password="wrong")
    assert client.get("/v2/").status == 401
    assert client.request("POST", "/v2/t/a/blobs/uploads/", headers={"Content-Length": "0"}).status == 401


def test_anonymous_pull_reads_but_does_not_write(start, tmp_path):
    server = server_with(start, tmp_path, "pull")
    manifest = server.client(user="alice", password="wonder").push_image("t/a", "v1", [b"layer"])
    anonymous = server.client()
    assert anonymous.get("/v2/t/a/manifests/v1").body == manifest
    assert anonymous.get(f"/v2/t/a/blobs/{digest_of(b'layer')}").body == b"layer"
    assert anonymous.get("/v2/t/a/tags/list").status == 200
    for method, path in FORBIDDEN:
        if method in ("PUT", "POST", "PATCH", "DELETE") or "uploads" in path:
            reply = anonymous.request(method, path, headers={"Content-Length": "0"})
            assert reply.status == 401, (method, path, reply)


def test_anonymous_push_reads_and_writes(start, tmp_path):
    server = server_with(start, tmp_path, "push")
    anonymous = server.client()
    manifest = anonymous.push_image("t/a", "v1")
    assert anonymous.get("/v2/t/a/manifests/v1").body == manifest


def test_without_users_anonymous_pull_cannot_write_and_is_not_asked_to_log_in(start):
    server = start(config={"auth": {"anonymous": "pull"}})
    reply = server.client().request("POST", "/v2/t/a/blobs/uploads/", headers={"Content-Length": "0"})
    assert reply.status in (401, 403)
    assert reply.status == 403 or reply.header("www-authenticate")


def test_session_of_one_user_is_unknown_to_another(start, tmp_path):
    server = server_with(start, tmp_path)
    alice = server.client(user="alice", password="wonder")
    bob = server.client(user="bob", password="builder")
    location = alice.begin_upload("t/a")
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        reply = bob.request(method, with_query(location, digest=digest_of(b"")), headers={"Content-Length": "0"})
        assert (reply.status, reply.error_code()) == (404, "BLOB_UPLOAD_UNKNOWN"), method
    assert alice.get(location).status == 204


def test_changed_password_file_counts_without_a_restart(start, tmp_path):
    server = server_with(start, tmp_path)
    assert server.client(user="alice", password="wonder").get("/v2/").status == 200
    time.sleep(1.1)  # so that the file's time differs on any file system
    htpasswd(tmp_path / "users", {"bob": "builder", "carol": "new"})
    wait_until(lambda: server.client(user="carol", password="new").get("/v2/").status == 200, 30, "reading the new file")
    # A user who was removed is out, although her password had been remembered.
    wait_until(lambda: server.client(user="alice", password="wonder").get("/v2/").status == 401, 30, "alice's removal")


def test_broken_password_file_is_told_once_and_the_users_stay(start, tmp_path):
    server = server_with(start, tmp_path)
    time.sleep(1.1)
    (tmp_path / "users").write_text("alice:$apr1$abcdefgh$0000000000000000000000\n")

    def login():
        return server.client(user="alice", password="wonder").get("/v2/").status

    def is_told():
        assert login() == 200
        return "access.reload_failed" in server.log_text()

    wait_until(is_told, 30, "a warning")
    time.sleep(6)
    assert login() == 200
    server.stop()
    warnings = [line for line in server.log_text().splitlines() if "access.reload_failed" in line]
    assert len(warnings) == 1
    assert '"level":"warn"' in warnings[0] and f"{tmp_path / 'users'}:1" in warnings[0]
    assert "apr1$abcdefgh" not in warnings[0]


def test_password_file_with_another_hash_is_refused_at_start(tmp_path):
    users = tmp_path / "users"
    users.write_text("alice:$apr1$abcdefgh$0000000000000000000000\n")
    server = minato.Minato(config={"auth": {"htpasswd": {"file": users}}})
    with pytest.raises(AssertionError) as failure:
        server.start()
    text = server.log_text()
    server.remove()
    assert f"{users}:1" in text, failure
    assert "bcrypt" in text
    assert "apr1$abcdefgh" not in text


def test_secrets_are_not_in_the_log(start, tmp_path):
    server = server_with(start, tmp_path)
    client = server.client(user="alice", password="wonder")
    client.push_image("t/a", "v1")
    server.client(user="alice", password="not-my-password").get("/v2/")
    server.stop()
    text = server.log_text()
    assert "http.request" in text
    for secret in ("wonder", "not-my-password", client.auth.split()[1], "s" * 40, "$2y$"):
        assert secret not in text


def test_flood_of_wrong_passwords_does_not_slow_a_user_down(start, tmp_path):
    server = server_with(start, tmp_path, "none", users={"alice": "wonder", "bob": "builder"}, cost=10)
    alice = server.client(user="alice", password="wonder")
    assert alice.get("/v2/").status == 200
    stop = threading.Event()
    statuses = []

    def guess(i):
        n = 0
        while not stop.is_set() and n < 2000:
            client = server.client(user=f"user{i}" if i % 2 else "alice", password=f"guess{i}-{n}")
            try:
                statuses.append(client.get("/v2/").status)
            except OSError:
                statuses.append(0)
            client.close()
            n += 1

    guessers = [threading.Thread(target=guess, args=(i,)) for i in range(16)]
    for thread in guessers:
        thread.start()
    try:
        time.sleep(0.5)
        times = []
        for _ in range(30):
            begun = time.monotonic()
            assert alice.get("/v2/").status == 200
            times.append(time.monotonic() - begun)
        begun = time.monotonic()
        bob = server.client(user="bob", password="builder")
        wait_until(lambda: bob.get("/v2/").status == 200, 30, "a first login during the flood")
        first_login = time.monotonic() - begun
    finally:
        stop.set()
        for thread in guessers:
            thread.join()
    assert set(statuses) <= {401, 429}, set(statuses)
    # bcrypt of cost 10 takes some 50 ms: a user who waited behind it even now and then would show.
    assert statistics.median(times) < 0.1, times
    assert max(times) < 1.0, times
    print(f"{len(statuses)} guesses; alice: median {statistics.median(times) * 1000:.1f} ms, "
          f"max {max(times) * 1000:.1f} ms; bob's first login {first_login:.2f} s")
