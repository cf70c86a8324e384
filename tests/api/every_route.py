# SPDX-License-Identifier: Apache-2.0
"""One request to every route of src/api/route_table.c; tests/architecture compares the names."""
import pytest

import minato
from minato import digest_of, with_query
from users import login, server_with_user

BLOB = b"one route after the other"


def upload(client):
    return client.begin_upload("t/routes")


ROUTES = {
    "base_get": lambda c: c.get("/v2/").status == 200,
    "base_head": lambda c: c.head("/v2/").status == 200,
    "manifest_get": lambda c: c.get("/v2/t/routes/manifests/v1").status == 200,
    "manifest_head": lambda c: c.head("/v2/t/routes/manifests/v1").status == 200,
    "manifest_put": lambda c: c.put_manifest("t/routes", "v2", minato.image_manifest(BLOB, [])).status == 201,
    "blob_get": lambda c: c.get(f"/v2/t/routes/blobs/{digest_of(BLOB)}").body == BLOB,
    "blob_head": lambda c: c.head(f"/v2/t/routes/blobs/{digest_of(BLOB)}").status == 200,
    "upload_start": lambda c: c.request("POST", "/v2/t/routes/blobs/uploads/", headers={"Content-Length": "0"}).status == 202,
    "upload_append": lambda c: c.request("PATCH", upload(c), body=b"x").status == 202,
    "upload_commit": lambda c: c.request("PUT", with_query(upload(c), digest=digest_of(b"x")), body=b"x").status == 201,
    "upload_status": lambda c: c.get(upload(c)).status == 204,
    "upload_status_head": lambda c: c.head(upload(c)).status == 204,
    "upload_cancel": lambda c: c.request("DELETE", upload(c)).status == 204,
    "manifest_delete": lambda c: c.request("DELETE", "/v2/t/routes/manifests/gone").status == 202,
    "blob_delete": lambda c: c.request("DELETE", f"/v2/t/routes/blobs/{digest_of(b'loose')}").status == 202,
    "referrers": lambda c: c.get(f"/v2/t/routes/referrers/{digest_of(BLOB)}").json()["manifests"] == [],
    "referrers_head": lambda c: c.head(f"/v2/t/routes/referrers/{digest_of(BLOB)}").status == 200,
    "catalog": lambda c: "t/routes" in c.get("/v2/_catalog").json()["repositories"],
    "catalog_head": lambda c: c.head("/v2/_catalog").status == 200,
    "tag_list": lambda c: "v1" in c.get("/v2/t/routes/tags/list").json()["tags"],
    "tag_list_head": lambda c: c.head("/v2/t/routes/tags/list").status == 200,
    "healthz": lambda c: c.get("/healthz").status == 200,
    "healthz_head": lambda c: c.head("/healthz").status == 200,
    "readyz": lambda c: c.get("/readyz").status == 200,
    "readyz_head": lambda c: c.head("/readyz").status == 200,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with server_with_user(tmp_path_factory.mktemp("users")) as running:
        client = login(running)
        client.push_blob("t/routes", BLOB)
        client.push_blob("t/routes", b"loose")
        for tag in ("v1", "gone"):
            assert client.put_manifest("t/routes", tag, minato.image_manifest(BLOB, [])).status == 201
        yield running


@pytest.fixture
def client(server):
    return login(server)


@pytest.mark.parametrize("name", ROUTES)
def test_route(client, name):
    assert ROUTES[name](client)
