# SPDX-License-Identifier: Apache-2.0
"""If-Match and If-None-Match on the PUT of a manifest: a tag that is compared and swapped."""
import json

import pytest

from images import in_parallel
from minato import INDEX, digest_of


def index(note):
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": {"note": str(note)}}).encode()


def put(client, repo, reference, data, **conditions):
    headers = {"Content-Type": INDEX, **{name.replace("_", "-"): value for name, value in conditions.items()}}
    return client.request("PUT", f"/v2/{repo}/manifests/{reference}", body=data, headers=headers)


def etag(data):
    return f'"{digest_of(data)}"'


def tag_of(client, repo, tag):
    reply = client.get(f"/v2/{repo}/manifests/{tag}")
    return reply.body if reply.status == 200 else None


def refused(reply):
    return (reply.status, reply.error_code()) == (412, "PRECONDITION")


def test_if_none_match_star_creates_a_tag_and_never_moves_one(client):
    assert put(client, "c/create", "v1", index("first"), If_None_Match="*").status == 201
    assert refused(put(client, "c/create", "v1", index("second"), If_None_Match="*"))
    assert tag_of(client, "c/create", "v1") == index("first")


def test_if_match_moves_the_tag_from_what_it_names_only(client):
    assert put(client, "c/swap", "v1", index("a")).status == 201
    assert put(client, "c/swap", "v1", index("b"), If_Match=etag(index("a"))).status == 201
    assert refused(put(client, "c/swap", "v1", index("c"), If_Match=etag(index("a"))))
    assert tag_of(client, "c/swap", "v1") == index("b")


def test_the_etag_of_a_get_is_what_if_match_takes(client):
    assert put(client, "c/etag", "v1", index("a")).status == 201
    seen = client.get("/v2/c/etag/manifests/v1").header("etag")
    assert put(client, "c/etag", "v1", index("b"), If_Match=seen).status == 201


@pytest.mark.parametrize("conditions, status", [
    ({"If_Match": "*"}, 412),
    ({"If_Match": etag(b"x")}, 412),
    ({"If_None_Match": etag(b"x")}, 201),
    ({"If_None_Match": "*"}, 201),
])
def test_tag_that_is_not_there(client, conditions, status):
    repo = f"c/absent-{abs(hash(str(conditions)))}"
    assert put(client, repo, "v1", index("new"), **conditions).status == status
    assert tag_of(client, repo, "v1") == (index("new") if status == 201 else None)
    listed = client.get(f"/v2/{repo}/tags/list")
    assert (listed.status == 200 and listed.json()["tags"] == ["v1"]) == (status == 201)


@pytest.mark.parametrize("conditions, status", [
    ({"If_Match": "*"}, 201),
    ({"If_Match": f'"other", {etag(index("old"))}'}, 201),
    ({"If_Match": "W/" + etag(index("old"))}, 412),
    ({"If_Match": '"sha256:xyz"'}, 412),
    ({"If_None_Match": etag(index("old"))}, 412),
    ({"If_None_Match": etag(index("another"))}, 201),
    ({"If_Match": etag(index("old")), "If_None_Match": "*"}, 412),
])
def test_tag_that_is_there(client, conditions, status):
    repo = f"c/there-{abs(hash(str(conditions)))}"
    assert put(client, repo, "v1", index("old")).status == 201
    assert put(client, repo, "v1", index("new"), **conditions).status == status
    assert tag_of(client, repo, "v1") == index("new" if status == 201 else "old")


def test_conditions_on_a_digest_are_about_that_manifest(client):
    data = index("by digest")
    assert refused(put(client, "c/digest", digest_of(data), data, If_Match="*"))
    assert put(client, "c/digest", digest_of(data), data, If_None_Match="*").status == 201
    assert refused(put(client, "c/digest", digest_of(data), data, If_None_Match="*"))
    assert put(client, "c/digest", digest_of(data), data, If_Match=etag(data)).status == 201


def test_of_many_creators_exactly_one_wins(server):
    statuses = [None] * 20

    def create(i):
        statuses[i] = put(server.client(), "c/race", "v1", index(i), If_None_Match="*").status

    in_parallel(create, 20)
    assert sorted(statuses) == [201] + [412] * 19
    assert tag_of(server.client(), "c/race", "v1") == index(statuses.index(201))


def test_no_update_is_lost(server):
    """Each client adds one to a counter in the manifest, again until its swap succeeds."""
    repo, clients, turns = "c/counter", 8, 5
    assert put(server.client(), repo, "count", index(0)).status == 201

    def count_up(_):
        client = server.client()
        for _ in range(turns):
            while True:
                seen = tag_of(client, repo, "count")
                number = int(json.loads(seen)["annotations"]["note"])
                status = put(client, repo, "count", index(number + 1), If_Match=etag(seen)).status
                if status == 201:
                    break
                assert status == 412, status
    in_parallel(count_up, clients)
    assert tag_of(server.client(), repo, "count") == index(clients * turns)
