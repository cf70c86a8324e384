# SPDX-License-Identifier: Apache-2.0
"""One request to every route of src/api/route_table.c; tests/architecture compares the names."""
import pytest

import minato
from minato import digest_of, with_query

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
    "tag_list": lambda c: "v1" in c.get("/v2/t/routes/tags/list").json()["tags"],
    "tag_list_head": lambda c: c.head("/v2/t/routes/tags/list").status == 200,
    "healthz": lambda c: c.get("/healthz").status == 200,
    "healthz_head": lambda c: c.head("/healthz").status == 200,
    "readyz": lambda c: c.get("/readyz").status == 200,
    "readyz_head": lambda c: c.head("/readyz").status == 200,
}


@pytest.fixture(scope="module", autouse=True)
def image(server):
    client = server.client()
    client.push_blob("t/routes", BLOB)
    assert client.put_manifest("t/routes", "v1", minato.image_manifest(BLOB, [])).status == 201


@pytest.mark.parametrize("name", ROUTES)
def test_route(client, name):
    assert ROUTES[name](client)
