# SPDX-License-Identifier: Apache-2.0
"""The referrers of a manifest: what is listed, how, and when it changes."""
import json
import re

import pytest

from minato import CONFIG, INDEX, MANIFEST, descriptor, digest_of, image_manifest
from users import login, server_with_user

EMPTY = b"{}"
SBOM, SIGNATURE = "application/vnd.example.sbom+json", "application/vnd.example.signature"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with server_with_user(tmp_path_factory.mktemp("users")) as running:
        yield running


@pytest.fixture
def client(server):
    return login(server)


def referrers(client, repo, digest, query=""):
    reply = client.get(f"/v2/{repo}/referrers/{digest}{query}")
    assert reply.status == 200, reply
    assert reply.header("content-type") == INDEX
    document = reply.json()
    assert (document["schemaVersion"], document["mediaType"]) == (2, INDEX)
    return document["manifests"], reply


def subject_of(client, repo):
    """An image to refer to; what refers to it may use its config."""
    client.push_blob(repo, EMPTY)
    return client.push_image(repo, "v1", [repo.encode()])


def attach(client, repo, subject, note, artifact_type=None, reference=None, **more):
    if artifact_type:
        more["artifactType"] = artifact_type
    data = image_manifest(EMPTY, [], subject=descriptor(subject, MANIFEST), annotations={"note": note}, **more)
    reply = client.put_manifest(repo, reference or digest_of(data), data)
    assert reply.status == 201, reply
    assert reply.header("oci-subject") == digest_of(subject)
    return data


def test_descriptor_says_all_that_the_specification_asks(client):
    subject = subject_of(client, "r/shape")
    typed = attach(client, "r/shape", subject, "typed", SBOM)
    plain = attach(client, "r/shape", subject, "plain")
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [],
                        "subject": descriptor(subject, MANIFEST)}).encode()
    assert client.put_manifest("r/shape", digest_of(index), index).header("oci-subject") == digest_of(subject)
    found, _ = referrers(client, "r/shape", digest_of(subject))
    by_digest = {one["digest"]: one for one in found}
    assert by_digest == {
        digest_of(typed): {"mediaType": MANIFEST, "digest": digest_of(typed), "size": len(typed), "artifactType": SBOM,
                           "annotations": {"note": "typed"}},
        digest_of(plain): {"mediaType": MANIFEST, "digest": digest_of(plain), "size": len(plain), "artifactType": CONFIG,
                           "annotations": {"note": "plain"}},
        digest_of(index): {"mediaType": INDEX, "digest": digest_of(index), "size": len(index)},
    }


@pytest.mark.parametrize("path", ["/v2/r/unknown/referrers/", "/v2/r/shape/referrers/"])
def test_nothing_refers_is_an_empty_index_and_never_404(client, path):
    reply = client.get(path + digest_of(b"nobody refers to this"))
    assert (reply.status, reply.json()["manifests"]) == (200, [])


@pytest.mark.parametrize("digest", ["latest", "sha256:xyz", "md5:" + "0" * 32])
def test_broken_digest_is_refused(client, digest):
    reply = client.get(f"/v2/r/bad/referrers/{digest}")
    assert (reply.status, reply.error_code()) == (400, "DIGEST_INVALID")


def test_head_has_the_length_of_the_list(client):
    subject = subject_of(client, "r/head")
    attach(client, "r/head", subject, "one")
    path = f"/v2/r/head/referrers/{digest_of(subject)}"
    assert client.head(path).header("content-length") == str(len(client.get(path).body))


def test_subject_need_not_be_there_yet(client):
    client.push_blob("r/early", EMPTY)
    subject = b"pushed later, or never"
    data = attach(client, "r/early", subject, "early")
    assert [one["digest"] for one in referrers(client, "r/early", digest_of(subject))[0]] == [digest_of(data)]


def test_filter_by_artifact_type_is_told(client):
    subject = subject_of(client, "r/filter")
    sbom = attach(client, "r/filter", subject, "s", SBOM)
    attach(client, "r/filter", subject, "g", SIGNATURE)
    found, reply = referrers(client, "r/filter", digest_of(subject), "?artifactType=" + SBOM.replace("+", "%2B"))
    assert reply.header("oci-filters-applied") == "artifactType"
    assert [one["digest"] for one in found] == [digest_of(sbom)]
    assert referrers(client, "r/filter", digest_of(subject))[1].header("oci-filters-applied") is None
    assert referrers(client, "r/filter", digest_of(subject), "?artifactType=none%2Fsuch")[0] == []


@pytest.mark.parametrize("query, step", [("", 1), ("", 4), ("", 7), ("&artifactType=application%2Fvnd.example.sbom%2Bjson", 2)])
def test_pages_together_are_the_list(client, query, step):
    repo = f"r/pages-{step}-{len(query)}"
    subject = subject_of(client, repo)
    wanted = sorted(digest_of(attach(client, repo, subject, f"n{i}", SBOM if i % 2 else SIGNATURE))
                    for i in range(9) if i % 2 or not query)
    if query:
        attach(client, repo, subject, "other", SIGNATURE)
    path, seen = f"/v2/{repo}/referrers/{digest_of(subject)}?n={step}{query}", []
    while path:
        reply = client.get(path)
        assert len(reply.json()["manifests"]) <= step
        seen += [one["digest"] for one in reply.json()["manifests"]]
        link = reply.header("link")
        path = re.fullmatch(r'<([^>]+)>; rel="next"', link).group(1) if link else None
    assert seen == wanted


def test_deleted_referrer_is_no_longer_listed_and_comes_back_when_pushed_again(client):
    subject = subject_of(client, "r/delete")
    for _ in range(2):
        data = attach(client, "r/delete", subject, "comes and goes")
        assert len(referrers(client, "r/delete", digest_of(subject))[0]) == 1
        assert client.request("DELETE", f"/v2/r/delete/manifests/{digest_of(data)}").status == 202
        assert referrers(client, "r/delete", digest_of(subject))[0] == []


def test_fallback_tag_of_older_clients_counts(client):
    subject = subject_of(client, "r/fallback")
    listed = client.push_image("r/fallback", "listed", [b"by the tag"])
    direct = attach(client, "r/fallback", subject, "direct")
    tag = digest_of(subject).replace(":", "-")
    assert len(referrers(client, "r/fallback", digest_of(subject))[0]) == 1
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX,
                        "manifests": [descriptor(listed, MANIFEST), descriptor(direct, MANIFEST)]}).encode()
    assert client.put_manifest("r/fallback", tag, index).status == 201
    found = [one["digest"] for one in referrers(client, "r/fallback", digest_of(subject))[0]]
    assert found == sorted([digest_of(listed), digest_of(direct)])
    assert client.request("DELETE", f"/v2/r/fallback/manifests/{tag}").status == 202
    found = [one["digest"] for one in referrers(client, "r/fallback", digest_of(subject))[0]]
    assert found == [digest_of(direct)]


@pytest.mark.parametrize("suffix", ["sig", "att", "sbom"])
def test_cosigns_tags_count(client, suffix):
    repo = f"r/cosign-{suffix}"
    subject = subject_of(client, repo)
    assert referrers(client, repo, digest_of(subject))[0] == []
    data = image_manifest(EMPTY, [], annotations={"by": "cosign"})
    assert client.put_manifest(repo, f"{digest_of(subject).replace(':', '-')}.{suffix}", data).status == 201
    found, _ = referrers(client, repo, digest_of(subject))
    assert [(one["digest"], one["annotations"]) for one in found] == [(digest_of(data), {"by": "cosign"})]


def test_list_is_the_same_after_a_restart(tmp_path):
    server = server_with_user(tmp_path)
    with server:
        client = login(server)
        subject = subject_of(client, "r/restart")
        for i in range(5):
            attach(client, "r/restart", subject, str(i))
        before = referrers(client, "r/restart", digest_of(subject))[0]
        assert len(before) == 5
        server.stop()
        server.start()
        assert referrers(login(server), "r/restart", digest_of(subject))[0] == before


def test_annotations_too_long_to_be_listed_are_refused(client):
    client.push_blob("r/long", EMPTY)
    data = image_manifest(EMPTY, [], subject=descriptor(b"s", MANIFEST), annotations={"long": "x" * (256 * 1024)})
    reply = client.put_manifest("r/long", "v1", data)
    assert (reply.status, reply.error_code()) == (400, "MANIFEST_INVALID")
