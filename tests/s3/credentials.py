# SPDX-License-Identifier: Apache-2.0
"""Keys that are not in the configuration: each source, their renewal, and what an operator reads when there are none."""
import os
import re
import subprocess
import time
import urllib.parse

import pytest

import minato
from credential_server import CredentialServer

SECRET = "0123456789abcdef0123456789abcdef"
MACHINE = ["PUT /latest/api/token", "GET /latest/meta-data/iam/security-credentials/",
           "GET /latest/meta-data/iam/security-credentials/registry%40prod"]


@pytest.fixture
def service(store):
    with CredentialServer(store.access_key, store.secret_key) as server:
        yield server


def configuration(store, tmp_path, **more):
    config = store.apply({"redirect": {"enabled": True}, **more}, tmp_path)
    for name in ("access_key", "secret_key"):
        del config["storage"]["s3"][name]
    return config


def set_up(source, service, store, tmp_path):
    """The environment that makes `source` the one."""
    if source == "environment":
        return {"AWS_ACCESS_KEY_ID": store.access_key, "AWS_SECRET_ACCESS_KEY": store.secret_key,
                "AWS_SESSION_TOKEN": "token-0-secret"}
    if source == "web identity":
        service.identity = "ey.identity+/=.secret"
        (tmp_path / "identity").write_text(service.identity + "\n")
        return {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "identity"), "AWS_ENDPOINT_URL_STS": service.url,
                "AWS_ROLE_ARN": "arn:aws:iam::1:role/registry"}
    if source == "container":
        service.bearer = "bearer-secret"
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": service.url + "/container",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": service.bearer}
    if source == "container with a file":
        service.bearer = "bearer-secret"
        (tmp_path / "bearer").write_text(service.bearer)
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": service.url + "/container",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "bearer")}
    return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url + "/"}


def serving(store, tmp_path, environment):
    return minato.Minato(config=configuration(store, tmp_path), env=environment)


def refusal(store, tmp_path, environment):
    """What a start that fails says."""
    path = tmp_path / "refused.yaml"
    path.write_text(minato.to_yaml({**configuration(store, tmp_path), "http": {"listen": "127.0.0.1:0",
                                                                             "secret": SECRET}}))
    done = subprocess.run([minato.binary(), "serve", "--config", path], env=minato.clean_environment(**environment),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "secret\"" not in done.stderr and "-secret" not in done.stderr, done.stderr
    return done.stderr


def url_of(client, digest):
    return client.get(f"/v2/keys/blob/blobs/{digest}").header("location")


@pytest.mark.parametrize("source", ["environment", "web identity", "container", "container with a file",
                                    "machine metadata"])
def test_a_source_gives_keys_that_serve(store, service, tmp_path, source):
    with serving(store, tmp_path, set_up(source, service, store, tmp_path)) as server:
        with_client = server.client()
        digest = with_client.push_blob("keys/blob", b"bytes")
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(url_of(with_client, digest)).query)
        assert re.fullmatch(r"token-\d+-secret", query["X-Amz-Security-Token"][0])
        with_client.close()
        server.wait_log("storage.credentials")
        lines = [line for line in server.log_text().splitlines() if "storage.credentials" in line]
        assert len(lines) == 1 and source.replace(" with a file", "") in lines[0], lines
        assert "-secret" not in re.sub(r"\?X-Amz\S*", "", server.log_text())
    if source == "machine metadata":
        assert service.asked == MACHINE


@pytest.mark.threads
def test_keys_are_renewed_before_they_end(store, service, tmp_path):
    service.seconds = 8
    with serving(store, tmp_path, set_up("machine metadata", service, store, tmp_path)) as server:
        with_client = server.client()
        digest = with_client.push_blob("keys/blob", b"bytes")
        tokens = set()
        for _ in range(20):
            assert with_client.push_blob("keys/blob", os.urandom(20))
            url = url_of(with_client, digest)
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
            tokens.add(query["X-Amz-Security-Token"][0])
            time.sleep(1)
        with_client.close()
    assert len(tokens) >= 3
    assert service.asked == MACHINE * service.given and service.given <= 5


def test_a_url_serves_no_longer_than_the_keys_it_was_signed_with(store, service, tmp_path):
    service.seconds = 300
    with serving(store, tmp_path, set_up("machine metadata", service, store, tmp_path)) as server:
        with_client = server.client()
        digest = with_client.push_blob("keys/blob", b"bytes")
        reply = with_client.get(f"/v2/keys/blob/blobs/{digest}")
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(reply.header("location")).query)
        assert int(reply.header("cache-control").split("max-age=")[1]) <= 75
        begin = time.mktime(time.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ")) - time.timezone
        assert begin + int(query["X-Amz-Expires"][0]) <= time.time() + 300
        with_client.close()


def test_a_renewal_that_fails_is_tried_again_while_the_old_keys_serve(store, service, tmp_path):
    service.seconds = 12
    with serving(store, tmp_path, set_up("machine metadata", service, store, tmp_path)) as server:
        service.refuse = {"PUT ": 503}
        server.wait_log("storage.credentials_not_renewed", 15)
        with_client = server.client()
        assert with_client.push_blob("keys/blob", os.urandom(20))
        service.refuse, service.seconds = {}, 3600
        minato.wait_until(lambda: service.given == 2, 10, "new keys")
        time.sleep(4)
        assert with_client.push_blob("keys/blob", os.urandom(20))
        with_client.close()
        assert "503" in server.log_text() and "old_ones_end" in server.log_text()


def test_a_server_that_is_stopped_waits_for_a_renewal_no_longer_than_it_may_take(store, service, tmp_path):
    service.seconds = 4
    server = serving(store, tmp_path, set_up("container", service, store, tmp_path)).start()
    service.delay_s = 20
    minato.wait_until(lambda: len(service.asked) == 2, 10, "a renewal")
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 8
    server.remove()


def test_without_new_keys_the_store_is_not_asked_once_they_have_ended(store, service, tmp_path):
    service.seconds = 4
    with serving(store, tmp_path, set_up("container", service, store, tmp_path)) as server:
        service.garbage = b"{"
        time.sleep(5)
        with_client = server.client()
        begin = time.monotonic()
        assert with_client.request("POST", "/v2/keys/blob/blobs/uploads/").status == 503
        assert time.monotonic() - begin < 1
        service.garbage, service.seconds = None, 3600
        minato.wait_until(lambda: with_client.request("POST", "/v2/keys/blob/blobs/uploads/").status == 202, 20, "keys")
        with_client.close()


@pytest.mark.parametrize("source, change, words", [
    ("machine metadata", {"refuse": {"PUT ": 403}}, ["403", "IMDSv2", "hop limit", "AWS_ACCESS_KEY_ID (not set)"]),
    ("machine metadata", {"refuse": {"GET ": 404}}, ["404", "no role"]),
    ("machine metadata", {"delay_s": 3}, ["no answer", "/latest/api/token"]),
    ("machine metadata", {"seconds": -60}, ["have ended already", "check the clock"]),
    ("machine metadata", {"garbage": b"\xff{}"}, ["not a JSON object"]),
    ("machine metadata", {"garbage": b'{"Code": "AssumeRoleUnauthorizedAccess"}'}, ["AssumeRoleUnauthorizedAccess"]),
    ("machine metadata", {"garbage": b"x" * 40000}, ["more than 32768 bytes"]),
    ("container", {"refuse": {"GET ": 500}}, ["container", "/container answered 500"]),
    ("container", {"garbage": b'{"AccessKeyId": "a", "SecretAccessKey": "b"}'}, ["Expiration"]),
    ("container", {"garbage": b'{"SecretAccessKey": "b", "Expiration": "2200-01-01T00:00:00Z"}'}, ["access key"]),
    ("web identity", {"garbage": b"<a><b>"}, ["web identity", "XML"]),
    ("web identity", {"refuse": {"POST ": 403}}, ["403", "AWS_ROLE_ARN"]),
])
def test_a_source_that_gives_none_is_explained(store, service, tmp_path, source, change, words):
    environment = set_up(source, service, store, tmp_path)
    for name, value in change.items():
        setattr(service, name, value)
    said = refusal(store, tmp_path, environment)
    assert all(word in said for word in words), said


@pytest.mark.parametrize("environment, words", [
    ({"AWS_EC2_METADATA_DISABLED": "true"}, ["Tried", "AWS_ACCESS_KEY_ID", "switched off"]),
    ({"AWS_ACCESS_KEY_ID": "half"}, ["environment", "secret key is missing"]),
    ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere", "AWS_ROLE_ARN": "a"}, ["/nowhere cannot be read"]),
    ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/keys"}, ["must be https"]),
    ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "ftp://x"}, ["AWS_EC2_METADATA_SERVICE_ENDPOINT is not a URL"]),
    ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}, ["Tried", "web identity", "no answer"]),
])
def test_an_environment_without_keys_is_explained(store, tmp_path, environment, words):
    said = refusal(store, tmp_path, environment)
    assert all(word in said for word in words), said


def test_the_configuration_comes_before_all_others(store, service, tmp_path):
    config = store.apply({}, tmp_path)
    with minato.Minato(config=config, env={**set_up("machine metadata", service, store, tmp_path),
                                           "AWS_ACCESS_KEY_ID": "other", "AWS_SECRET_ACCESS_KEY": "other"}) as server:
        server.wait_log("storage.credentials.*configuration")
    assert service.asked == []
