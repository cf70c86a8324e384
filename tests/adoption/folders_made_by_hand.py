# SPDX-License-Identifier: Apache-2.0
"""Folders as they are found: very old, half deleted, damaged. Each case is a repository of one folder, which both
programs serve at once. `both` is what they agree on; where a test asks minato alone it says why they differ."""
import json

import pytest

import minato
from docker_registry import DockerRegistry
from minato import MANIFEST, digest_of
from registry_folder import RegistryFolder, answer, tags_of

NO_MANIFEST = (404, "MANIFEST_UNKNOWN")
NO_BLOB = (404, "BLOB_UNKNOWN")


class Both:
    """The two on one folder. Docker Registry keeps nothing in memory here, and a test writes its repository before it
    asks minato for anything in it."""

    def __init__(self, root):
        self.folder = RegistryFolder(root)
        self.minato_server = minato.Minato(data=root)
        self.docker_server = DockerRegistry(root)

    def __enter__(self):
        self.minato_server.__enter__()
        self.docker_server.__enter__()
        self.minato = self.minato_server.client()
        self.docker_registry = self.docker_server.client()
        return self

    def __exit__(self, *exception):
        self.docker_server.__exit__(*exception)
        self.minato_server.__exit__(*exception)

    def get(self, path):
        """What both answer, to GET and, without a body, to HEAD."""
        seen = answer(self.minato, path)
        assert seen == answer(self.docker_registry, path)
        assert answer(self.minato, path, "HEAD")[:-1] == answer(self.docker_registry, path, "HEAD")[:-1] == seen[:-1]
        return seen

    def tags(self, repo):
        seen = tags_of(self.minato, repo)
        assert seen == tags_of(self.docker_registry, repo)
        return seen


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    root = tmp_path_factory.mktemp("by-hand") / "root"
    RegistryFolder(root).add_image("t/other", "v1")
    with Both(root) as servers:
        yield servers


@pytest.fixture
def folder(both):
    return both.folder


def image(data):
    """The answer to a manifest that is served."""
    return (200, MANIFEST, digest_of(data), str(len(data)), data)


def blob(data):
    return (200, "application/octet-stream", digest_of(data), str(len(data)), data)


def layer_of(repo):
    return f"layer of {repo}".encode()


# ---- whole ----

def test_folder_without_uploads_or_index_links_is_served(both, folder, repo):
    data = folder.add_image(repo, "v1")
    folder.remove(folder.tag(repo, "v1") / "index")
    assert both.get(f"/v2/{repo}/manifests/v1") == image(data)
    assert both.get(f"/v2/{repo}/blobs/{digest_of(layer_of(repo))}") == blob(layer_of(repo))
    assert both.tags(repo) == ["v1"]


# ---- very old folders: manifests are linked as layers ----

def test_manifest_linked_as_a_layer_only_is_served_by_tag_and_digest(both, folder, repo):
    data = folder.add_image(repo, "v1")
    digest = digest_of(data)
    folder.remove(folder.repository(repo) / "_manifests" / "revisions")
    folder.write(folder.layer_link(repo, digest), digest)
    assert both.get(f"/v2/{repo}/manifests/v1") == image(data)
    assert both.get(f"/v2/{repo}/manifests/{digest}") == image(data)
    assert both.get(f"/v2/{repo}/blobs/{digest}") == blob(data)
    assert both.tags(repo) == ["v1"]


@pytest.mark.parametrize("data", [b"a layer, by no means JSON", b'{"architecture":"amd64","os":"linux"}', b"",
                                  b"\x1f\x8b" + bytes(300_000)], ids=["text", "config", "empty", "large"])
def test_layer_asked_for_as_a_manifest_is_not_found(both, folder, repo, data):
    """Docker Registry takes the same layer links for manifests', and answers 500 to what it cannot parse."""
    digest = folder.add_layer(repo, data)
    assert answer(both.minato, f"/v2/{repo}/manifests/{digest}") == NO_MANIFEST
    assert answer(both.minato, f"/v2/{repo}/manifests/{digest}", "HEAD")[0] == 404
    assert both.get(f"/v2/{repo}/blobs/{digest}") == blob(data)


def test_broken_revision_link_beside_a_layer_link_is_served_by_the_layer_link(both, folder, repo):
    """Docker Registry stops at the first link it cannot read, with 500."""
    data = folder.add_image(repo, "v1")
    digest = digest_of(data)
    folder.write(folder.revision_link(repo, digest), "")
    folder.write(folder.layer_link(repo, digest), digest)
    assert answer(both.minato, f"/v2/{repo}/manifests/v1") == image(data)


# ---- broken links: Docker Registry answers 500 to all of them, minato takes them for absent ----

BROKEN = {
    "empty": "", "a-newline": "\n", "garbage": "this is no digest", "zeros": bytes(71), "half": "sha256:0123456789abcdef",
    "long": "x" * 10_000, "upper-case": "sha256:" + "A" * 64, "another-algorithm": "md5:d41d8cd98f00b204e9800998ecf8427e",
    "an-unknown-algorithm": "blake3:" + "a" * 64, "two-digests": f"sha256:{'a' * 64}\nsha256:{'b' * 64}",
    "a-path": "../../../../../../etc/passwd",
}


@pytest.fixture(params=BROKEN, ids=str)
def broken(request):
    return BROKEN[request.param]


def test_broken_revision_link_counts_as_absent(both, folder, repo, broken):
    data = folder.add_image(repo, "v1")
    folder.write(folder.revision_link(repo, digest_of(data)), broken)
    assert answer(both.minato, f"/v2/{repo}/manifests/{digest_of(data)}") == NO_MANIFEST
    assert answer(both.minato, f"/v2/{repo}/manifests/v1") == NO_MANIFEST
    assert both.tags(repo) == ["v1"]


def test_broken_layer_link_counts_as_absent(both, folder, repo, broken):
    folder.add_image(repo, "v1")
    digest = folder.add_layer(repo, b"a layer with a broken link", text=broken)
    assert answer(both.minato, f"/v2/{repo}/blobs/{digest}") == NO_BLOB
    assert answer(both.minato, f"/v2/{repo}/blobs/{digest}", "HEAD")[0] == 404


def test_broken_tag_link_counts_as_absent_and_the_tag_is_listed(both, folder, repo, broken):
    data = folder.add_image(repo, "v1")
    folder.write(folder.current_link(repo, "v1"), broken)
    assert answer(both.minato, f"/v2/{repo}/manifests/v1") == NO_MANIFEST
    assert answer(both.minato, f"/v2/{repo}/manifests/{digest_of(data)}") == image(data)
    assert both.tags(repo) == ["v1"]


def test_push_heals_broken_links(both, folder, repo, broken):
    """Docker Registry too can read them again afterwards."""
    data = folder.add_image(repo, "v1")
    for path in (folder.revision_link(repo, digest_of(data)), folder.current_link(repo, "v1"),
                 folder.layer_link(repo, digest_of(layer_of(repo)))):
        folder.write(path, broken)
    assert answer(both.minato, f"/v2/{repo}/manifests/v1") == NO_MANIFEST
    both.minato.push_blob(repo, layer_of(repo))
    assert both.minato.put_manifest(repo, "v1", data).status == 201
    assert both.get(f"/v2/{repo}/manifests/v1") == image(data)
    assert both.get(f"/v2/{repo}/blobs/{digest_of(layer_of(repo))}") == blob(layer_of(repo))


def test_broken_link_is_logged(both, folder, repo):
    digest = folder.add_layer(repo, b"a layer whose link is logged", text="no digest")
    assert answer(both.minato, f"/v2/{repo}/blobs/{digest}") == NO_BLOB
    both.minato_server.wait_log(r'"level":"warn"[^\n]*"link.broken"[^\n]*' + repo)


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}", "{}\n\n"], ids=repr)
def test_white_space_around_a_link_is_nothing(both, folder, repo, around):
    """An editor's or a script's newline: Docker Registry answers 500, minato reads what is meant."""
    data = folder.add_image(repo, None)
    digest, layer = digest_of(data), digest_of(layer_of(repo))
    folder.write(folder.revision_link(repo, digest), around.format(digest))
    folder.write(folder.layer_link(repo, layer), around.format(layer))
    folder.add_tag(repo, "v1", digest, text=around.format(digest))
    assert answer(both.minato, f"/v2/{repo}/manifests/v1") == image(data)
    assert answer(both.minato, f"/v2/{repo}/manifests/{digest}") == image(data)
    assert answer(both.minato, f"/v2/{repo}/blobs/{layer}") == blob(layer_of(repo))


def test_link_that_is_a_folder_counts_as_absent(both, folder, repo):
    """Docker Registry answers 500, with the path of its folder in the body."""
    data = folder.add_image(repo, "v1")
    for link in (folder.revision_link(repo, digest_of(data)), folder.layer_link(repo, digest_of(layer_of(repo)))):
        folder.remove(link)
        link.mkdir()
    assert answer(both.minato, f"/v2/{repo}/manifests/v1") == NO_MANIFEST
    assert answer(both.minato, f"/v2/{repo}/blobs/{digest_of(layer_of(repo))}") == NO_BLOB


# ---- links that lead elsewhere ----

def test_sha512_folder_that_leads_to_a_sha256_target_is_served(both, folder, repo):
    """As Docker Registry leaves it behind when a blob is pushed by its sha512. It names the target, minato what was asked
    for in a blob's answer and the target in a manifest's: each is a digest of these bytes."""
    data, layer = folder.add_image(repo, "v1"), layer_of(repo)
    folder.write(folder.revision_link(repo, digest_of(data, "sha512")), digest_of(data))
    folder.write(folder.layer_link(repo, digest_of(layer, "sha512")), digest_of(layer))
    folder.add_tag(repo, "long", digest_of(data, "sha512"))
    paths = {f"/v2/{repo}/manifests/{digest_of(data, 'sha512')}": data, f"/v2/{repo}/manifests/long": data,
             f"/v2/{repo}/blobs/{digest_of(layer, 'sha512')}": layer}
    for path, expected in paths.items():
        for client in (both.minato, both.docker_registry):
            for method in ("GET", "HEAD"):
                reply = client.request(method, path)
                assert (reply.status, reply.header("content-length")) == (200, str(len(expected)))
                assert reply.body == (expected if method == "GET" else b"")
                assert reply.header("docker-content-digest") in (digest_of(expected), digest_of(expected, "sha512"))
    assert both.tags(repo) == ["long", "v1"]


def test_sha512_link_to_bytes_stored_by_their_sha512_is_served(both, folder, repo):
    manifest = folder.add_image(repo, None)
    for link, data in ((folder.revision_link, manifest), (folder.layer_link, b"stored by sha512")):
        digest = folder.add_data(data, "sha512")
        folder.write(link(repo, digest), digest)
    digest = digest_of(manifest, "sha512")
    folder.add_tag(repo, "v1", digest)
    for reference in (digest, "v1"):
        assert both.get(f"/v2/{repo}/manifests/{reference}") == (200, MANIFEST, digest, str(len(manifest)), manifest)
    digest = digest_of(b"stored by sha512", "sha512")
    assert both.get(f"/v2/{repo}/blobs/{digest}")[4] == b"stored by sha512"


def test_sha512_link_to_a_target_that_is_not_there_is_not_found(both, folder, repo):
    folder.add_image(repo, "v1")
    digest = digest_of(b"nothing", "sha512")
    folder.write(folder.layer_link(repo, digest), digest_of(b"nothing"))
    folder.write(folder.revision_link(repo, digest), digest_of(b"nothing"))
    assert both.get(f"/v2/{repo}/blobs/{digest}") == NO_BLOB
    assert both.get(f"/v2/{repo}/manifests/{digest}") == NO_MANIFEST


def test_link_that_leads_to_other_bytes_counts_as_absent(both, folder, repo):
    """Docker Registry serves the other bytes; what minato serves under a digest has that digest (invariant 7)."""
    one, other = folder.add_image(repo, "one", "one"), folder.add_image(repo, "other", "other")
    folder.write(folder.revision_link(repo, digest_of(one)), digest_of(other))
    folder.write(folder.layer_link(repo, digest_of(b"layer of one")), digest_of(b"layer of other"))
    assert answer(both.minato, f"/v2/{repo}/manifests/{digest_of(one)}") == NO_MANIFEST
    assert answer(both.minato, f"/v2/{repo}/manifests/one") == NO_MANIFEST
    assert answer(both.minato, f"/v2/{repo}/blobs/{digest_of(b'layer of one')}") == NO_BLOB
    assert both.get(f"/v2/{repo}/manifests/other") == image(other)


# ---- what a link leads to is missing or damaged ----

def test_revision_without_bytes_is_not_found(both, folder, repo):
    data = folder.add_image(repo, "v1")
    folder.remove(folder.data(digest_of(data)).parent)
    assert both.get(f"/v2/{repo}/manifests/{digest_of(data)}") == NO_MANIFEST
    assert both.get(f"/v2/{repo}/manifests/v1") == NO_MANIFEST
    assert both.tags(repo) == ["v1"]


def test_layer_without_bytes_is_not_found_and_can_be_pushed_again(both, folder, repo):
    data, digest = folder.add_image(repo, "v1"), digest_of(layer_of(repo))
    folder.remove(folder.data(digest))
    assert both.get(f"/v2/{repo}/blobs/{digest}") == NO_BLOB
    assert both.get(f"/v2/{repo}/manifests/v1") == image(data)
    both.minato.push_blob(repo, layer_of(repo))
    assert both.get(f"/v2/{repo}/blobs/{digest}") == blob(layer_of(repo))


def test_bytes_that_are_a_folder_are_not_found(both, folder, repo):
    data = folder.add_image(repo, "v1")
    for digest in (digest_of(data), digest_of(layer_of(repo))):
        folder.remove(folder.data(digest))
        folder.data(digest).mkdir()
    assert both.get(f"/v2/{repo}/manifests/v1") == NO_MANIFEST
    assert both.get(f"/v2/{repo}/blobs/{digest_of(layer_of(repo))}") == NO_BLOB


def test_bytes_without_a_link_are_nobodys(both, folder, repo):
    folder.add_image(repo, "v1")
    digest = folder.add_data(b"linked nowhere")
    manifest = minato.image_manifest(b"linked nowhere", [])
    folder.add_data(manifest)
    assert both.get(f"/v2/{repo}/blobs/{digest}") == NO_BLOB
    assert both.get(f"/v2/{repo}/manifests/{digest_of(manifest)}") == NO_MANIFEST


@pytest.mark.parametrize("damage", [lambda data: data + b" ", lambda data: data[:-1], lambda data: b""],
                         ids=["longer", "shorter", "empty"])
def test_manifest_with_other_bytes_than_its_digest_is_damaged_not_served(both, folder, repo, damage):
    """Docker Registry serves them as long as they can be parsed."""
    data = folder.add_image(repo, "v1")
    folder.write(folder.data(digest_of(data)), damage(data))
    assert answer(both.minato, f"/v2/{repo}/manifests/v1") == (500, "UNKNOWN")


# ---- tags ----

def test_tag_of_a_missing_revision_is_not_found_and_listed(both, folder, repo):
    data = folder.add_image(repo, "v1")
    folder.add_image(repo, "v2", "another")
    folder.remove(folder.revision_link(repo, digest_of(data)).parent)
    assert both.get(f"/v2/{repo}/manifests/v1") == NO_MANIFEST
    assert both.get(f"/v2/{repo}/manifests/{digest_of(data)}") == NO_MANIFEST
    assert both.tags(repo) == ["v1", "v2"]


def test_tag_of_a_deleted_revision_whose_folder_stayed_is_not_found_and_listed(both, folder, repo):
    data = folder.add_image(repo, "v1")
    folder.remove(folder.revision_link(repo, digest_of(data)))
    assert both.get(f"/v2/{repo}/manifests/v1") == NO_MANIFEST
    assert both.tags(repo) == ["v1"]


def test_tag_folder_with_an_index_and_no_current_is_not_found_and_listed(both, folder, repo):
    data = folder.add_image(repo, "v1")
    folder.remove(folder.tag(repo, "v1") / "current")
    assert both.get(f"/v2/{repo}/manifests/v1") == NO_MANIFEST
    assert both.get(f"/v2/{repo}/manifests/{digest_of(data)}") == image(data)
    assert both.tags(repo) == ["v1"]


@pytest.mark.parametrize("left", ["", "current", "index/sha256"])
def test_empty_folder_of_a_tag_is_not_found_and_listed(both, folder, repo, left):
    folder.add_image(repo, "v1")
    (folder.tag(repo, "gone") / left).mkdir(parents=True)
    assert both.get(f"/v2/{repo}/manifests/gone") == NO_MANIFEST
    assert both.tags(repo) == ["gone", "v1"]


def test_repository_without_tags_has_an_empty_list(both, folder, repo):
    """Where the folder of tags is missing Docker Registry says that there is no such repository, though it serves it."""
    data = folder.add_image(repo, None)
    assert tags_of(both.minato, repo) == []
    assert both.get(f"/v2/{repo}/manifests/{digest_of(data)}") == image(data)
    folder.add_image(f"{repo}-with-folder", None)
    (folder.repository(f"{repo}-with-folder") / "_manifests" / "tags").mkdir()
    assert both.tags(f"{repo}-with-folder") == []


def test_what_is_no_tag_among_the_tags_is_not_listed(both, folder, repo):
    """Docker Registry lists whatever it finds, also files and what no client can ask for."""
    folder.add_image(repo, "v1")
    for name in ("-v1", ".hidden", "a b", "x" * 129, "a,b", "lost+found"):
        folder.add_tag(repo, name, digest_of(b"x"))
    folder.write(folder.tag(repo, "a-file"), "not a folder")
    assert tags_of(both.minato, repo) == ["v1"]
    assert answer(both.minato, f"/v2/{repo}/manifests/a-file") == NO_MANIFEST


# ---- repositories ----

def test_folders_that_are_no_repository_are_unknown(both, folder, repo):
    folder.write(folder.repository(f"{repo}/uploads-only") / "_uploads" / "123" / "data", "partial")
    (folder.repository(f"{repo}/empty")).mkdir()
    folder.add_image(f"{repo}/parent/child", "v1")
    folder.write(folder.repository(f"{repo}/file"), "not a folder")
    for name in ("uploads-only", "empty", "parent", "missing"):
        assert both.tags(f"{repo}/{name}") is None
        assert both.get(f"/v2/{repo}/{name}/manifests/v1") == NO_MANIFEST
    # Docker Registry answers 500, as the driver says that it is not a folder.
    assert tags_of(both.minato, f"{repo}/file") is None
    assert answer(both.minato, f"/v2/{repo}/file/manifests/v1") == NO_MANIFEST


def test_repository_in_a_repository_has_its_own_images(both, folder, repo):
    names = [repo, f"{repo}/b", f"{repo}/blobs/uploads", f"{repo}/manifests", f"{repo}/manifests/b", f"{repo}/tags/list"]
    written = {name: folder.add_image(name, "v1") for name in names}
    for name, data in written.items():
        assert both.get(f"/v2/{name}/manifests/v1") == image(data)
        assert both.get(f"/v2/{name}/blobs/{digest_of(layer_of(name))}") == blob(layer_of(name))
        assert both.get(f"/v2/{name}/blobs/{digest_of(layer_of('t/other'))}") == NO_BLOB
        assert both.tags(name) == ["v1"]


@pytest.mark.parametrize("name", ["UPPER", "t/Upper", "t/a..b", "t/-a", "t/a_", "t/.a", "t/a%20b", "t/a___b", "t/%C3%A4"])
def test_repository_with_a_name_that_is_none_cannot_be_asked_for(both, folder, name):
    """Docker Registry has no route for them: 404 without a code."""
    from urllib.parse import unquote
    data = folder.add_image(unquote(name), "v1")
    for path in (f"/v2/{name}/manifests/v1", f"/v2/{name}/tags/list", f"/v2/{name}/blobs/{digest_of(data)}"):
        assert answer(both.minato, path) == (400, "NAME_INVALID")
        assert both.docker_registry.get(path).status in (301, 404)


# ---- manifests that are not served ----

SCHEMA_1 = {"schemaVersion": 1, "name": "t/old", "tag": "v1", "architecture": "amd64",
            "fsLayers": [{"blobSum": digest_of(b"layer")}], "history": [{"v1Compatibility": "{}"}]}


@pytest.mark.parametrize("more", [{}, {"signatures": []},
                                  {"mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws"}],
                         ids=["plain", "signed", "typed"])
def test_schema_1_manifest_answers_an_error_that_says_what_to_do(both, folder, repo, more):
    """Docker Registry still serves them."""
    digest = folder.add_revision(repo, json.dumps({**SCHEMA_1, **more}, indent=3).encode())
    folder.add_tag(repo, "v1", digest)
    for reference in (digest, "v1"):
        reply = both.minato.get(f"/v2/{repo}/manifests/{reference}")
        assert (reply.status, reply.error_code()) == (400, "MANIFEST_INVALID")
        assert "push the image again" in reply.json()["errors"][0]["message"]
    assert both.docker_registry.get(f"/v2/{repo}/manifests/v1").status == 200
    assert both.tags(repo) == ["v1"]


def test_manifest_of_an_unknown_type_answers_an_error(both, folder, repo):
    """Docker Registry answers 500."""
    digest = folder.add_revision(repo, b'{"schemaVersion":2,"mediaType":"application/vnd.example+json"}')
    assert answer(both.minato, f"/v2/{repo}/manifests/{digest}") == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize("data", [b"no JSON", b"[]", b"{}", b'{"schemaVersion":3}'], ids=repr)
def test_revision_that_is_no_manifest_is_damaged(both, folder, repo, data):
    digest = folder.add_revision(repo, data)
    assert answer(both.minato, f"/v2/{repo}/manifests/{digest}") == (500, "UNKNOWN")
    assert both.docker_registry.get(f"/v2/{repo}/manifests/{digest}").status == 500
