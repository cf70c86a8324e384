# SPDX-License-Identifier: Apache-2.0
"""What each keeps in the folder for itself, and leaves there when it ends in the middle, does not disturb the other."""
import shutil

import minato
from images import content
from minato import digest_of
from registry_folder import tags_of


def begin(client, repo, data):
    """A session with its first bytes; its Location."""
    location = client.begin_upload(repo)
    reply = client.request("PATCH", location, body=data, headers={"Content-Type": "application/octet-stream"})
    assert reply.status == 202, reply
    return reply.header("location")


def finish(client, location, data, digest):
    reply = client.request("PATCH", location, body=data, headers={"Content-Type": "application/octet-stream"})
    assert reply.status == 202, reply
    return client.request("PUT", minato.with_query(reply.header("location"), digest=digest),
                          headers={"Content-Length": "0"})


def test_sessions_of_docker_registry_do_not_disturb_minato_and_survive_it(turns):
    first, second = content("first", 400_000), content("second", 300_000)
    with turns.docker_registry() as client:
        image = client.push_image("t/sessions", "v1", [b"whole"])
        location = begin(client, "t/sessions", first)
        begin(client, "t/nothing-else", first)
        client.begin_upload("t/not-even-a-byte")
    uploads = turns.folder.repository("t/sessions") / "_uploads"
    left = sorted(path.relative_to(uploads) for path in uploads.rglob("*") if path.is_file())
    assert len(left) >= 3  # data, startedat, the state of the hash
    with turns.minato() as client:
        assert client.get("/v2/t/sessions/manifests/v1").body == image
        assert tags_of(client, "t/sessions") == ["v1"]
        # Nothing but a session makes no repository.
        assert tags_of(client, "t/nothing-else") is None
        assert tags_of(client, "t/not-even-a-byte") is None
        # It is not minato's session, whatever its Location says.
        path = location[location.index("/v2/"):]
        for method in ("GET", "PATCH", "DELETE"):
            reply = client.request(method, path, body=b"x" if method == "PATCH" else None)
            assert (reply.status, reply.error_code()) == (404, "BLOB_UPLOAD_UNKNOWN")
        client.push_image("t/sessions", "v2", [b"pushed beside them"])
    assert sorted(path.relative_to(uploads) for path in uploads.rglob("*") if path.is_file()) == left
    with turns.docker_registry() as client:
        path = path.replace("/v2/", f"http://{client.host}:{client.port}/v2/", 1)
        assert finish(client, path, second, digest_of(first + second)).status == 201
        assert tags_of(client, "t/sessions") == ["v1", "v2"]
    with turns.minato() as client:
        assert client.get(f"/v2/t/sessions/blobs/{digest_of(first + second)}").body == first + second


def test_sessions_of_minato_do_not_disturb_docker_registry_and_survive_it(turns):
    first, second = content("first", 400_000), content("second", 300_000)
    with turns.minato() as client:
        image = client.push_image("t/sessions", "v1", [b"whole"])
        location = begin(client, "t/sessions", first)
        begin(client, "t/nothing-else", first)
    assert not list((turns.folder.v2).rglob("_uploads")), "sessions never lie below a repository"
    with turns.docker_registry() as client:
        assert client.get("/v2/t/sessions/manifests/v1").body == image
        assert client.get("/v2/_catalog").json()["repositories"] == ["t/sessions"]
        client.push_image("t/sessions", "v2", [b"pushed beside them"])
    turns.garbage_collect()
    with turns.minato() as client:
        assert finish(client, location, second, digest_of(first + second)).status == 201
    with turns.docker_registry() as client:
        assert client.get(f"/v2/t/sessions/blobs/{digest_of(first + second)}").body == first + second
        assert tags_of(client, "t/sessions") == ["v1", "v2"]


def test_killed_minato_leaves_nothing_that_disturbs_docker_registry(turns):
    turn = turns.minato()
    try:
        turn.server.start()
        client = turn.server.client(user="alice", password="secret")
        image = client.push_image("t/killed", "v1", [b"whole"])
        begin(client, "t/killed", content("partial", 2_000_000))
    finally:
        turn.server.kill()
    with turns.docker_registry() as client:
        assert client.get("/v2/t/killed/manifests/v1").body == image
        client.push_image("t/killed", "v2", [b"later"])
    turns.garbage_collect()
    with turns.minato() as client:
        assert tags_of(client, "t/killed") == ["v1", "v2"]
    turn.server.remove()


def test_folder_without_what_is_minatos_own_is_still_the_same_registry(turns):
    """minato/ holds sessions and what can be found again: somebody who copies docker/ alone loses no image."""
    with turns.minato() as client:
        image = client.push_image("t/copied", "v1", [b"whole"])
        begin(client, "t/copied", b"partial")
    shutil.rmtree(turns.root / "minato")
    with turns.minato() as client:
        assert client.get("/v2/t/copied/manifests/v1").body == image
        assert tags_of(client, "t/copied") == ["v1"]
        client.push_image("t/copied", "v2", [b"later"])
    with turns.docker_registry() as client:
        assert tags_of(client, "t/copied") == ["v1", "v2"]


def test_folder_with_other_things_in_it_is_served(turns):
    """What file systems, backups and editors leave behind."""
    folder = turns.folder
    image = folder.add_image("t/other-things", "v1")
    for path in ("lost+found/x", "blobs/README", "blobs/sha256/x/y", "blobs/sha256/ab/notahash/data", "blobs/md5/ab/abc/data",
                 "repositories/README", "repositories/.DS_Store", "repositories/t/other-things/README",
                 "repositories/t/other-things/_backup/x", "repositories/t/other-things/_manifests/x/y"):
        folder.write(path, b"something else")
    (turns.root / "a-file").write_bytes(b"")
    with turns.minato() as client:
        assert client.get("/v2/t/other-things/manifests/v1").body == image
        assert tags_of(client, "t/other-things") == ["v1"]
        client.push_image("t/other-things", "v2", [b"later"])
    assert (folder.v2 / "blobs" / "README").read_bytes() == b"something else"
    with turns.docker_registry() as client:
        assert tags_of(client, "t/other-things") == ["v1", "v2"]
