# SPDX-License-Identifier: Apache-2.0
"""The list of tags: order, pages, links."""
import re

import pytest

import minato

TAGS = ["0", "10", "2", "A", "Z", "_x", "a", "a-b", "a.b", "a0", "aa", "b", "latest", "v1", "v1-a", "v1.0", "v10", "v2"]


@pytest.fixture(scope="module")
def tagged(server):
    client = server.client()
    client.push_blob("t/tags", b"{}")
    manifest = minato.image_manifest(b"{}", [])
    for tag in reversed(TAGS):
        assert client.put_manifest("t/tags", tag, manifest).status == 201
    return "/v2/t/tags/tags/list"


def follow(client, path):
    """All pages from `path` on."""
    pages = []
    while path:
        reply = client.get(path)
        assert reply.status == 200, reply
        pages.append(reply.json()["tags"])
        link = reply.header("link")
        found = re.fullmatch(r'<([^>]+)>; rel="next"', link) if link else None
        assert bool(link) == bool(found)
        path = found.group(1) if found else None
    return pages


def test_all_tags_in_byte_order(client, tagged):
    reply = client.get(tagged)
    assert reply.status == 200
    assert reply.header("content-type").startswith("application/json")
    assert reply.json() == {"name": "t/tags", "tags": sorted(TAGS)}
    assert reply.header("link") is None


@pytest.mark.parametrize("n", [1, 2, 5, 17, 18, 19, 1000])
def test_pages_together_are_the_list(client, tagged, n):
    pages = follow(client, f"{tagged}?n={n}")
    assert [tag for page in pages for tag in page] == sorted(TAGS)
    assert all(len(page) == n for page in pages[:-1])
    assert 0 < len(pages[-1]) <= n


def test_last_need_not_be_a_tag(client, tagged):
    reply = client.get(f"{tagged}?last=a%2Ezzz&n=2")
    assert reply.json()["tags"] == [tag for tag in sorted(TAGS) if tag > "a.zzz"][:2]
    assert client.get(f"{tagged}?last=zzz").json()["tags"] == []


def test_n_0_is_an_empty_page_without_link(client, tagged):
    reply = client.get(f"{tagged}?n=0")
    assert (reply.status, reply.json()["tags"], reply.header("link")) == (200, [], None)


@pytest.mark.parametrize("n", ["x", "-1", "1x", "99999999999999999999999"])
def test_n_that_is_no_number_answers_400(client, tagged, n):
    reply = client.get(f"{tagged}?n={n}")
    assert (reply.status, reply.error_code()) == (400, "PAGINATION_NUMBER_INVALID")


def test_unknown_repository_answers_404(client):
    reply = client.get("/v2/t/nobody/tags/list")
    assert (reply.status, reply.error_code()) == (404, "NAME_UNKNOWN")


def test_new_tag_is_in_the_list_at_once(client, repo):
    for i in range(5):
        client.push_image(repo, f"v{i}", [b"%d" % i])
        assert client.get(f"/v2/{repo}/tags/list").json()["tags"] == [f"v{k}" for k in range(i + 1)]


def test_push_by_digest_makes_no_tag(client, repo):
    client.push_blob(repo, b"{}")
    manifest = minato.image_manifest(b"{}", [])
    assert client.put_manifest(repo, minato.digest_of(manifest), manifest).status == 201
    reply = client.get(f"/v2/{repo}/tags/list")
    assert reply.status == 200
    assert reply.json()["tags"] == []
