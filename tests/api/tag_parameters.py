# SPDX-License-Identifier: Apache-2.0
"""PUT of a manifest by digest with ?tag=: several tags in one request."""
import json

import pytest

from minato import INDEX, digest_of

DATA = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()


def put(client, repo, reference, query):
    return client.request("PUT", f"/v2/{repo}/manifests/{reference}{query}", body=DATA, headers={"Content-Type": INDEX})


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_each_tag_names_the_digest_it_was_put_with(client, algorithm):
    repo, digest = f"p/several-{algorithm}", digest_of(DATA, algorithm)
    reply = put(client, repo, digest, "?tag=1&tag=1.2&tag=latest")
    assert reply.status == 201
    assert reply.header("oci-tag") == "1, 1.2, latest"
    assert client.get(f"/v2/{repo}/tags/list").json()["tags"] == ["1", "1.2", "latest"]
    for tag in ("1", "1.2", "latest"):
        found = client.get(f"/v2/{repo}/manifests/{tag}")
        assert (found.body, found.header("docker-content-digest")) == (DATA, digest)


def test_one_that_is_percent_encoded_is_decoded(client):
    assert put(client, "p/encoded", digest_of(DATA), "?tag=v1%2E0").header("oci-tag") == "v1.0"


def test_without_the_parameter_there_is_no_header(client):
    assert put(client, "p/none", digest_of(DATA), "").header("oci-tag") is None


def test_64_are_taken_and_65_refused(client):
    def query(count):
        return "?" + "&".join(f"tag=t{i}" for i in range(count))
    assert len(put(client, "p/many", digest_of(DATA), query(64)).header("oci-tag").split(", ")) == 64
    reply = put(client, "p/more", digest_of(DATA), query(65))
    assert (reply.status, reply.error_code()) == (414, "TAG_INVALID")
    assert client.get("/v2/p/more/tags/list").status == 404


@pytest.mark.parametrize("reference, query", [("v1", "?tag=v2"), (digest_of(DATA), "?tag=-v1"), (digest_of(DATA), "?tag=")])
def test_what_makes_no_sense_is_refused_and_nothing_is_kept(client, reference, query):
    reply = put(client, "p/refused", reference, query)
    assert (reply.status, reply.error_code()) == (400, "TAG_INVALID")
    assert client.get("/v2/p/refused/tags/list").status == 404
