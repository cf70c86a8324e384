# SPDX-License-Identifier: Apache-2.0
"""deploy/cdn's nginx in front of a real bucket: what it has kept is not asked of the store again."""
import json
import os
import re
import subprocess
import urllib.error
import urllib.request

import pytest

from fault_store import FaultStore
from minato import Minato, clean_environment, free_port
from nginx import Nginx, cache_configuration

SECRET = "enigma"


def let_everybody_read(store, prefix):
    """What the cache needs of the bucket (deploy/cdn/README.md)."""
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
                                                      "Resource": f"arn:aws:s3:::{store.bucket}/{prefix}/*"}]}
    done = subprocess.run(["curl", "-s", "-w", "%{http_code}", "-X", "PUT", "--aws-sigv4", "aws:amz:us-east-1:s3", "-u",
                           f"{store.access_key}:{store.secret_key}", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD",
                           "--data-binary", json.dumps(policy), f"{store.endpoint}/{store.bucket}?policy="],
                          env=clean_environment(), capture_output=True, text=True)
    assert done.stdout.endswith(("200", "204")), done.stdout


@pytest.fixture
def scene(store, tmp_path):
    """A server that sends readers to the cache, and the store as the cache sees it."""
    port = free_port()
    config = store.apply({}, tmp_path)
    prefix = config["storage"]["s3"]["prefix"]
    let_everybody_read(store, prefix)
    config["redirect"] = {"enabled": True, "cdn": {"type": "nginx", "url": f"http://127.0.0.1:{port}", "key": SECRET}}
    with FaultStore(store) as origin:
        text = cache_configuration(tmp_path, port, SECRET, origin.endpoint.split("//")[1], store.bucket)
        with Nginx(tmp_path, "cdn", text, port), Minato(config=config) as server:
            yield server, origin


def fetch(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read()


def test_a_second_read_does_not_reach_the_store(scene):
    server, origin = scene
    data = os.urandom(20_000_000)
    client = server.client()
    digest = client.push_blob("cdn/blob", data)
    url = client.get(f"/v2/cdn/blob/blobs/{digest}").header("location")
    client.close()
    assert fetch(url) == data
    assert origin.count("GET", "/data$|/bytes/") == 3 == origin.count()  # pieces of 8 MiB
    for _ in range(3):
        assert fetch(url) == data
    assert origin.count() == 3


@pytest.mark.parametrize("change", [
    lambda url: url.split("?")[0],
    lambda url: re.sub(r"md5=.{22}", "md5=" + "A" * 22, url),
    lambda url: re.sub(r"expires=\d+", lambda found: f"expires={int(found.group()[8:]) + 3600}", url),
], ids=["unsigned", "another signature", "longer"])
def test_what_minato_did_not_sign_does_not_reach_the_store(scene, change):
    server, origin = scene
    client = server.client()
    digest = client.push_blob("cdn/refused", b"bytes")
    url = client.get(f"/v2/cdn/refused/blobs/{digest}").header("location")
    client.close()
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(change(url))
    assert refused.value.code == 403 and origin.count() == 0
    assert fetch(url) == b"bytes"
