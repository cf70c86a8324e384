# SPDX-License-Identifier: Apache-2.0
"""The repositories of a folder: the same in both, in minato's case in the order the specification has for tags."""
import json
import re

import pytest

from minato import digest_of
from registry_folder import catalog_of

# In byte order "-" and "." come before "/". Docker Registry walks folders: "a", "a/b", "a-b".
NAMES = ["0", "a", "a-b", "a.b", "a.b/c__d", "a/b", "a/b/c", "a/blobs/uploads", "a/manifests", "a/tags/list", "ab", "b",
         "docker/registry/v2", "minato", "only/children/here", "v2", "x" * 200]


def push_names(client):
    for name in reversed(NAMES):
        client.push_image(name, "v1", [name.encode()])


def follow(client, path):
    """All pages from `path` on."""
    pages = []
    while path:
        reply = client.get(path)
        assert reply.status == 200, reply
        pages.append(reply.json()["repositories"])
        link = reply.header("link")
        found = re.fullmatch(r'<([^>]+)>; rel="next"', link) if link else None
        assert bool(link) == bool(found)
        path = found.group(1) if found else None
    return pages


def test_catalog_is_the_same_in_both(turns, writer):
    with turns.of(writer) as client:
        push_names(client)
        assert sorted(catalog_of(client)) == sorted(NAMES)
    with turns.minato() as client:
        assert catalog_of(client) == sorted(NAMES)
        reply = client.get("/v2/_catalog")
        assert reply.header("content-type").startswith("application/json")
        assert (reply.json(), reply.header("link")) == ({"repositories": sorted(NAMES)}, None)
    with turns.docker_registry() as client:
        assert sorted(catalog_of(client)) == sorted(NAMES)


def test_pages_of_the_catalog_together_are_the_catalog(turns):
    with turns.docker_registry() as client:
        push_names(client)
    with turns.minato() as client:
        for n in (1, 2, 5, len(NAMES) - 1, len(NAMES), 1000):
            pages = follow(client, f"/v2/_catalog?n={n}")
            assert [name for page in pages for name in page] == sorted(NAMES)
            assert all(len(page) == n for page in pages[:-1])
            assert 0 < len(pages[-1]) <= n
        assert catalog_of(client, "?n=2&last=a-b") == ["a.b", "a.b/c__d"]
        assert catalog_of(client, "?n=2&last=a%2Faaa") == ["a/b", "a/b/c"]
        assert catalog_of(client, "?last=zzz") == []
        reply = client.get("/v2/_catalog?n=0")
        assert (reply.status, reply.json(), reply.header("link")) == (200, {"repositories": []}, None)


@pytest.mark.parametrize("n", ["x", "-1", "1x"])
def test_n_that_is_no_number_answers_400(turns, n):
    """Docker Registry takes it for none at all; tags/list of minato answers 400 too."""
    with turns.minato() as client:
        reply = client.get(f"/v2/_catalog?n={n}")
        assert (reply.status, reply.error_code()) == (400, "PAGINATION_NUMBER_INVALID")


def test_empty_folder_has_an_empty_catalog(turns):
    with turns.minato() as client:
        assert client.get("/v2/_catalog").json() == {"repositories": []}


def test_sessions_and_empty_folders_are_no_repositories(turns):
    folder = turns.folder
    folder.add_image("t/one", "v1")
    folder.repository("t/empty").mkdir()
    folder.write(folder.repository("t/file"), "not a folder")
    with turns.docker_registry() as client:
        client.begin_upload("t/session")
        assert catalog_of(client) == ["t/one"]
    with turns.minato() as client:
        assert catalog_of(client) == ["t/one"]
        client.begin_upload("t/session-of-minato")
        assert catalog_of(client) == ["t/one"]


def test_folders_whose_names_are_none_are_not_listed(turns):
    """Docker Registry lists them, though nobody can ask it for them."""
    turns.folder.add_image("t/one", "v1")
    for name in ("UPPER", "t/Upper", "t/a..b", "t/-a", "t/a_", "t/.a", "t/a b", "t/a___b", "t/ä", "t/Upper/below"):
        turns.folder.add_image(name, "v1")
    with turns.minato() as client:
        assert catalog_of(client) == ["t/one"]


def test_repository_of_layers_only_is_listed_by_both_and_of_manifests_only_by_minato(turns):
    """Docker Registry looks for the folder of layers; it serves the other all the same."""
    turns.folder.add_layer("t/layers", b"a layer")
    data = turns.folder.add_image("t/manifests", "v1")
    turns.folder.remove(turns.folder.repository("t/manifests") / "_layers")
    with turns.docker_registry() as client:
        assert catalog_of(client) == ["t/layers"]
        assert client.get("/v2/t/manifests/manifests/v1").body == data
    with turns.minato() as client:
        assert catalog_of(client) == ["t/layers", "t/manifests"]
        assert client.get("/v2/t/manifests/manifests/v1").body == data


@pytest.mark.parametrize("deleter", ["docker-registry", "minato"])
def test_catalog_is_the_same_in_both_after_deletes(turns, writer, deleter):
    with turns.of(writer) as client:
        pushed = {name: client.push_image(name, "v1", [b"layer"]) for name in ("t/a", "t/a/b", "t/c")}
    with turns.of(deleter) as client:
        for name in ("t/a", "t/c"):
            assert client.request("DELETE", f"/v2/{name}/manifests/{digest_of(pushed[name])}").status == 202
    seen = {}
    for name in ("docker-registry", "minato"):
        with turns.of(name) as client:
            seen[name] = catalog_of(client)
    # Its layers are still there.
    assert seen["minato"] == seen["docker-registry"] == ["t/a", "t/a/b", "t/c"]
    with turns.of(deleter) as client:
        for blob in {digest_of(b"layer"), json.loads(pushed["t/c"])["config"]["digest"]}:
            assert client.request("DELETE", f"/v2/t/c/blobs/{blob}").status == 202
    with turns.minato() as client:
        listed = catalog_of(client)
        # Docker Registry leaves the empty folders, and lists them; minato does not.
        assert [name for name in listed if name != "t/c"] == ["t/a", "t/a/b"]
        if deleter == "minato":
            assert "t/c" not in listed
    with turns.docker_registry() as client:
        assert catalog_of(client) == listed
