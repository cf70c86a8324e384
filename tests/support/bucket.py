# SPDX-License-Identifier: Apache-2.0
"""A bucket as it is, without the registry in front: what lies in it, and whether it is what its name says."""
import datetime
import hashlib
import hmac
import http.client
import json
import re
import urllib.parse
from xml.etree import ElementTree

BLOB = re.compile(r"docker/registry/v2/blobs/(\w+)/../([0-9a-f]+)/(data|location)$")
SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class Bucket:
    """What one registry keeps in `store` (ceph.Ceph): `prefix` is its storage.s3.prefix."""

    def __init__(self, store, prefix):
        self.store, self.prefix = store, f"{prefix}/"

    def _get(self, key, **query):
        """A presigned GET, as a browser would follow it."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        query.update({"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{self.store.access_key}/{scope}",
                      "X-Amz-Date": now, "X-Amz-Expires": "600", "X-Amz-SignedHeaders": "host"})
        path = urllib.parse.quote(f"/{self.store.bucket}/{key}")
        text = "&".join(f"{name}={urllib.parse.quote(value, safe='')}" for name, value in sorted(query.items()))
        host = f"127.0.0.1:{self.store.port}"
        asked = "\n".join(["GET", path, text, f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"])
        signed = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(asked.encode()).hexdigest()])
        signature = f"AWS4{self.store.secret_key}".encode()
        for part in [*scope.split("/"), signed]:
            signature = hmac.new(signature, part.encode(), hashlib.sha256).digest()
        connection = http.client.HTTPConnection(host, timeout=60)
        try:
            connection.request("GET", f"{path}?{text}&X-Amz-Signature={signature.hex()}")
            reply = connection.getresponse()
            body = reply.read()
        finally:
            connection.close()
        assert reply.status == 200, (key, reply.status, body)
        return body

    def keys(self, below=""):
        """{key: size} of everything that begins with `below`, without the prefix."""
        found, after = {}, ""
        while True:
            page = ElementTree.fromstring(self._get("", **{"list-type": "2", "prefix": self.prefix + below,
                                                           "start-after": after}))
            for entry in page.iter(f"{SPACE}Contents"):
                after = entry.findtext(f"{SPACE}Key")
                found[after.removeprefix(self.prefix)] = int(entry.findtext(f"{SPACE}Size"))
            if page.findtext(f"{SPACE}IsTruncated") != "true":
                return found

    def read(self, key):
        return self._get(self.prefix + key)

    def check_blobs(self):
        """Every blob has the bytes that its name says, where it is or where its location sends; how many there are."""
        count = 0
        for key in self.keys("docker/registry/v2/blobs/"):
            algorithm, name, kind = BLOB.fullmatch(key).groups()
            data = self.read(key)
            if kind == "location":
                place = json.loads(data)
                assert place["digest"] == f"{algorithm}:{name}", (key, place)
                data = self.read(place["key"])
                assert len(data) == place["size"], (key, place, len(data))
            assert hashlib.new(algorithm, data).hexdigest() == name, f"{key} has other bytes than its name"
            count += 1
        return count
