# SPDX-License-Identifier: Apache-2.0
"""The list of repositories."""
import re

import pytest

from minato import digest_of
from users import login, server_with_user

NAMES = ["a", "a-b", "a.b", "a/b", "a/b/c", "a0", "b/blobs/uploads", "deep/er/and/deep/er", "z"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with server_with_user(tmp_path_factory.mktemp("users")) as running:
        client = login(running)
        for name in reversed(NAMES):
            client.push_blob(name, b"{}")
        yield running


@pytest.fixture
def client(server):
    return login(server)


def names(client, query=""):
    reply = client.get("/v2/_catalog" + query)
    assert reply.status == 200, reply
    return reply.json()["repositories"]


def test_all_repositories_in_byte_order(client):
    reply = client.get("/v2/_catalog")
    assert reply.json() == {"repositories": sorted(NAMES)}
    assert reply.header("content-type").startswith("application/json")
    assert reply.header("link") is None
    assert client.head("/v2/_catalog").header("content-length") == str(len(reply.body))


@pytest.mark.parametrize("n", [1, 2, 4, 8, 9, 10])
def test_pages_together_are_the_list(client, n):
    path, seen = f"/v2/_catalog?n={n}", []
    while path:
        reply = client.get(path)
        seen.append(reply.json()["repositories"])
        link = reply.header("link")
        path = re.fullmatch(r'<([^>]+)>; rel="next"', link).group(1) if link else None
    assert [name for page in seen for name in page] == sorted(NAMES)
    assert all(len(page) == n for page in seen[:-1])


def test_last_need_not_be_a_repository(client):
    assert names(client, "?last=a%2Fa&n=2") == ["a/b", "a/b/c"]
    assert names(client, "?last=zz") == []


def test_n_0_is_empty_and_a_broken_n_is_refused(client):
    reply = client.get("/v2/_catalog?n=0")
    assert (reply.json()["repositories"], reply.header("link")) == ([], None)
    reply = client.get("/v2/_catalog?n=many")
    assert (reply.status, reply.error_code()) == (400, "PAGINATION_NUMBER_INVALID")


def test_repository_comes_with_its_first_content_and_goes_with_its_last(client):
    assert "come/and/go" not in names(client)
    for _ in range(2):
        digest = client.push_blob("come/and/go", b"all it has")
        assert "come/and/go" in names(client)
        assert client.request("DELETE", f"/v2/come/and/go/blobs/{digest}").status == 202
        assert "come/and/go" not in names(client)
        reply = client.get("/v2/come/and/go/tags/list")
        assert (reply.status, reply.error_code()) == (404, "NAME_UNKNOWN")


def test_repository_that_only_holds_others_is_none(client):
    digest = client.push_blob("outer/inner", b"inner")
    assert [name for name in names(client) if name.startswith("outer")] == ["outer/inner"]
    assert client.request("DELETE", f"/v2/outer/inner/blobs/{digest}").status == 202


def test_anonymous_clients_are_asked_to_log_in(server):
    reply = server.client().get("/v2/_catalog")
    assert (reply.status, reply.error_code()) == (401, "UNAUTHORIZED")


def test_an_empty_registry_has_an_empty_list(start):
    assert names(start().client()) == []


def test_list_is_the_same_after_a_restart(client, server):
    before = names(client)
    assert digest_of(b"{}") and before
    server.stop()
    server.start()
    assert names(login(server)) == before
