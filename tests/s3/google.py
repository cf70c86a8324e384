# SPDX-License-Identifier: Apache-2.0
"""The S3 driver against a store that is as strict with signatures as Google's."""
import re
import subprocess
import urllib.request

import pytest

import minato
from google_store import GoogleStore

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def google():
    with GoogleStore() as store:
        yield store


def configuration(google, **more):
    section = {"endpoint": google.endpoint, "bucket": google.bucket, "access_key": google.access_key,
               "secret_key": google.secret_key, "dialect": "google", **more}
    return {"http": {"secret": SECRET}, "storage": {"s3": section}, "redirect": {"enabled": True}}


@pytest.mark.parametrize("has_account", [False, True], ids=["hmac", "service account"])
def test_the_driver_keeps_the_contract(google, has_account):
    program = minato.binary().parent / "tests" / "registry_test_storage_s3"
    environment = minato.clean_environment(
        MINATO_TESTS_S3_ENDPOINT=google.endpoint, MINATO_TESTS_S3_BUCKET=google.bucket,
        MINATO_TESTS_S3_ACCESS_KEY=google.access_key, MINATO_TESTS_S3_SECRET_KEY=google.secret_key,
        MINATO_TESTS_S3_GOOGLE=str(google.key_file) if has_account else "")
    done = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=300)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    assert int(re.search(r"\[  PASSED  \] (\d+) test", output).group(1)) >= 47
    assert google.url_algorithms == {"GOOG4-RSA-SHA256" if has_account else "GOOG4-HMAC-SHA256"}


@pytest.mark.parametrize("has_account", [False, True], ids=["hmac", "service account"])
def test_a_blob_is_pushed_and_read_by_its_url(google, has_account):
    config = configuration(google, **({"google_key": str(google.key_file)} if has_account else {}),
                           sse_kms_key="projects/p/locations/l/keyRings/r/cryptoKeys/k")
    with minato.Minato(config=config) as server:
        client = server.client()
        digest = client.push_blob("google/blob", b"bytes")
        url = client.get(f"/v2/google/blob/blobs/{digest}").header("location")
        client.close()
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"bytes"
    assert google.url_algorithms == {"GOOG4-RSA-SHA256" if has_account else "GOOG4-HMAC-SHA256"}
    assert not [request for request in google.requests if any(name.startswith("x-amz-") for name in request[2])]
    assert [request for request in google.requests if "x-goog-if-generation-match" in request[2]]
    assert [request for request in google.requests if "x-goog-encryption-kms-key-name" in request[2]]


@pytest.mark.parametrize("change, words", [
    ({"dialect": "amazon"}, ["answered 400", "ExcessHeaderValues"]),
    ({"secret_key": "wrong"}, ["403", "SignatureDoesNotMatch"]),
    ({"google_key": "/nowhere/key.json"}, ["google_key", "/nowhere/key.json"]),
    ({"dialect": "amazon", "google_key": "/nowhere/key.json"}, ["google_key", "dialect"]),
])
def test_a_mistake_is_explained(google, tmp_path, change, words):
    path = tmp_path / "minato.yaml"
    config = configuration(google, **change)
    path.write_text(minato.to_yaml({**config, "http": {**config["http"], "listen": "127.0.0.1:0"}}))
    done = subprocess.run([minato.binary(), "serve", "--config", path], env=minato.clean_environment(),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert google.secret_key not in done.stderr


def test_without_any_keys_only_hmac_keys_are_asked_for(google, tmp_path):
    config = configuration(google)
    del config["storage"]["s3"]["access_key"], config["storage"]["s3"]["secret_key"]
    path = tmp_path / "minato.yaml"
    path.write_text(minato.to_yaml({**config, "http": {**config["http"], "listen": "127.0.0.1:0"}}))
    done = subprocess.run([minato.binary(), "serve", "--config", path], env=minato.clean_environment(),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "HMAC keys" in done.stderr, done.stderr
