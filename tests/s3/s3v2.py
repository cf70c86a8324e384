# SPDX-License-Identifier: Apache-2.0
"""A server on the driver for Signature Version 2: whole pushes and pulls, and what is refused."""
import os
import subprocess
import urllib.request

import pytest

import minato
from minato import digest_of, with_query

SECRET = "0123456789abcdef0123456789abcdef"
MIB = 1 << 20


def configuration(store, prefix, **more):
    section = {**store.configuration()["s3"], "prefix": prefix, **more}
    return {"http": {"secret": SECRET}, "storage": {"s3v2": section}}


@pytest.mark.parametrize("is_sent_away", [True, False], ids=["by URL", "through the server"])
def test_an_image_is_pushed_and_pulled(store, is_sent_away):
    config = {**configuration(store, "v2/image"), "redirect": {"enabled": is_sent_away}}
    data = os.urandom(17 * MIB + 5)
    with minato.Minato(config=config) as server:
        client = server.client()
        client.push_image("v2/image", "latest", layers=(b"layer", b"another"))
        location = client.begin_upload("v2/image")
        location = location if location.startswith("/") else "/" + location.split("/", 3)[3]
        reply = client.request("PATCH", location, body=data, headers={"Content-Length": str(len(data))})
        location = reply.header("location")
        location = location if location.startswith("/") else "/" + location.split("/", 3)[3]
        digest = digest_of(data)
        assert client.request("PUT", with_query(location, digest=digest), headers={"Content-Length": "0"}).status == 201
        reply = client.get(f"/v2/v2/image/blobs/{digest}")
        if is_sent_away:
            assert reply.status == 307 and "Signature=" in reply.header("location")
            with urllib.request.urlopen(reply.header("location")) as answer:
                assert answer.read() == data
        else:
            assert reply.status == 200 and reply.body == data
        assert client.get("/v2/v2/image/manifests/latest").status == 200
        client.close()
        server.wait_log("storage.one_process_only")


@pytest.mark.parametrize("change, words", [
    ({"endpoint": "https://127.0.0.1:1"}, ["certificate", "insecure"]),
    ({"endpoint": "https://127.0.0.1:1", "insecure": True}, ["127.0.0.1:1", "FailedToConnect"]),
    ({"secret_key": "wrong"}, ["SignatureDoesNotMatch", "secret_key"]),
    ({"bucket": "no-such-bucket"}, ["NoSuchBucket", "no-such-bucket"]),
])
def test_what_cannot_be_used_is_explained(store, tmp_path, change, words):
    path = tmp_path / "minato.yaml"
    config = configuration(store, "v2/refused", **change)
    path.write_text(minato.to_yaml({**config, "http": {**config["http"], "listen": "127.0.0.1:0"}}))
    done = subprocess.run([minato.binary(), "serve", "--config", path], env=minato.clean_environment(),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert store.secret_key not in done.stderr
