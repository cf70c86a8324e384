# SPDX-License-Identifier: Apache-2.0
"""Amazon S3, where it is stricter than Ceph: checksums of parts (CRC32C), which have to be announced, sent and listed; a
checksum of what deletes many objects; conditions with quoted ETags.
"""
import base64
import ctypes
import hashlib
import re
import struct
from xml.sax.saxutils import unescape

from scripted_store import Refused, ScriptedStore

ISAL = ctypes.CDLL("libisal.so.2")  # Python alone needs a second for 5 MiB


def crc32c(data):
    value = ISAL.crc32_iscsi(data, len(data), 0xFFFFFFFF) & 0xFFFFFFFF
    return base64.b64encode(struct.pack(">I", value ^ 0xFFFFFFFF)).decode()


class AmazonStore(ScriptedStore):
    knows_checksums = True  # else it ignores what it is told of them, as Ceph 16 does

    def check_fields(self, request, body):
        given = request.headers["x-amz-checksum-crc32c"]
        if self.knows_checksums and given is not None and given != crc32c(body):
            raise Refused(400, "BadDigest")
        if any(name.lower().startswith("x-goog-") for name in request.headers):
            raise Refused(400, "InvalidArgument")

    def check_put(self, request, key, body):
        if request.headers["If-None-Match"] == "*" and key in self.objects:
            raise Refused(412, "PreconditionFailed")
        wanted = request.headers["If-Match"]
        if wanted is not None and key not in self.objects:
            raise Refused(404, "NoSuchKey")
        if wanted is not None and wanted != self.objects[key][1]:
            raise Refused(412, "PreconditionFailed")

    def check_part(self, request, upload, body):
        algorithm = upload["fields"]["x-amz-checksum-algorithm"]
        if (algorithm == "CRC32C") != (request.headers["x-amz-checksum-crc32c"] is not None):
            raise Refused(400, "InvalidRequest")

    def check_complete(self, upload, body):
        is_summed = upload["fields"]["x-amz-checksum-algorithm"] == "CRC32C"
        for part in re.findall(rb"<Part>(.*?)</Part>", body):
            number = int(re.search(rb"<PartNumber>(\d+)<", part)[1])
            found = re.search(rb"<ChecksumCRC32C>([^<]*)</ChecksumCRC32C>", part)
            if is_summed != (found is not None) or (found and found[1].decode() != upload["sums"].get(number)):
                raise Refused(400, "InvalidRequest")

    def _delete_many(self, request, body):
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
        if request.headers["Content-MD5"] != md5 and request.headers["x-amz-checksum-crc32c"] is None:
            raise Refused(400, "InvalidRequest")
        keys = [unescape(key) for key in re.findall(r"<Object><Key>([^<]*)</Key></Object>", body.decode())]
        if not 1 <= len(keys) <= 1000:
            raise Refused(400, "MalformedXML")
        with self.lock:
            for key in keys:
                self.objects.pop(key, None)
        return 200, {}, "<?xml version='1.0' encoding='UTF-8'?><DeleteResult></DeleteResult>"
