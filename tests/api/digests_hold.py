# SPDX-License-Identifier: Apache-2.0
"""Nothing is visible under a digest that is not its own."""
import os

import pytest

import minato
from minato import digest_of, with_query

DATA = os.urandom(300_000)
WRONG = digest_of(b"something else")


def check_invisible(client, repo, *digests):
    for digest in digests:
        assert client.head(f"/v2/{repo}/blobs/{digest}").status == 404


def test_wrong_digest_at_the_final_put_answers_400_and_nothing_is_visible(client, repo):
    location = client.begin_upload(repo)
    location = client.request("PATCH", location, body=DATA).header("location")
    reply = client.request("PUT", with_query(location, digest=WRONG), headers={"Content-Length": "0"})
    assert (reply.status, reply.error_code()) == (400, "DIGEST_INVALID")
    check_invisible(client, repo, WRONG, digest_of(DATA))


def test_wrong_digest_with_the_whole_body_in_the_put_answers_400(client, repo):
    location = client.begin_upload(repo)
    reply = client.request("PUT", with_query(location, digest=WRONG), body=DATA)
    assert (reply.status, reply.error_code()) == (400, "DIGEST_INVALID")
    check_invisible(client, repo, WRONG, digest_of(DATA))


def test_wrong_digest_in_one_post_answers_400(client, repo):
    reply = client.request("POST", f"/v2/{repo}/blobs/uploads/?digest={WRONG}", body=DATA)
    assert (reply.status, reply.error_code()) == (400, "DIGEST_INVALID")
    check_invisible(client, repo, WRONG, digest_of(DATA))


def test_right_digest_of_another_length_is_wrong(client, repo):
    reply = client.request("POST", f"/v2/{repo}/blobs/uploads/?digest={digest_of(DATA)}", body=DATA[:-1])
    assert (reply.status, reply.error_code()) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("digest", ["sha256:abc", "sha256:" + "g" * 64, "sha256:" + "A" * 64, "md5:" + "0" * 32, "sha256",
                                    "", "sha256:", "sha256:" + "0" * 65, "sha512:" + "0" * 64])
def test_malformed_digest_answers_400(client, digest):
    location = client.begin_upload("t/malformed")
    reply = client.request("PUT", with_query(location, digest=digest), headers={"Content-Length": "0"})
    assert (reply.status, reply.error_code()) == (400, "DIGEST_INVALID")
    reply = client.request("POST", f"/v2/t/malformed/blobs/uploads/?digest={digest}", body=b"x")
    assert (reply.status, reply.error_code()) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("digest", ["sha256:abc", "sha256:" + "g" * 64, "sha256:" + "A" * 64, "md5:" + "0" * 32])
def test_asking_for_a_malformed_digest_answers_400(client, digest):
    reply = client.get(f"/v2/t/malformed/blobs/{digest}")
    assert (reply.status, reply.error_code()) == (400, "DIGEST_INVALID")
    reply = client.get(f"/v2/t/malformed/manifests/{digest}")
    assert (reply.status, reply.error_code()) == (400, "DIGEST_INVALID")


def test_manifest_put_under_another_digest_answers_400(client, repo):
    client.push_blob(repo, b"{}")
    manifest = minato.image_manifest(b"{}", [])
    reply = client.put_manifest(repo, WRONG, manifest)
    assert (reply.status, reply.error_code()) == (400, "DIGEST_INVALID")
    assert client.head(f"/v2/{repo}/manifests/{WRONG}").status == 404
    assert client.head(f"/v2/{repo}/manifests/{digest_of(manifest)}").status == 404


def test_blob_damaged_on_disk_is_not_found_by_its_digest_after_a_new_push_of_other_bytes(start):
    """A second push of a known digest cannot replace its bytes by others."""
    server = start()
    client = server.client()
    digest = client.push_blob("t/one", DATA)
    reply = client.request("POST", f"/v2/t/one/blobs/uploads/?digest={digest}", body=DATA[::-1])
    assert reply.status == 400
    assert client.get(f"/v2/t/one/blobs/{digest}").body == DATA
