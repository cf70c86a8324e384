# SPDX-License-Identifier: Apache-2.0
"""As much of Google Cloud Storage's XML API as the S3 driver uses, in memory. It checks every signature with code of its
own, and refuses what Google refuses: x-amz- fields beside x-goog- ones, and x-goog- fields that are not signed.
"""
import datetime
import email.utils
import hashlib
import hmac
import json
import re
import subprocess
import tempfile
import threading
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.sax.saxutils import escape

EMAIL = "registry@project.iam.gserviceaccount.com"


def signing_key(secret, scope):
    key = b"GOOG4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


class Refused(Exception):
    def __init__(self, status, code):
        super().__init__(code)
        self.status, self.code = status, code


class GoogleStore:
    """One bucket. `requests` has what was asked: method, path, names of fields."""

    bucket, access_key, secret_key = "images", "GOOG1EXAMPLE", "hmac-secret"

    def __init__(self):
        self.lock = threading.Lock()
        self.objects, self.uploads, self.requests, self.url_algorithms = {}, {}, [], set()
        self.home = tempfile.TemporaryDirectory(prefix="minato-google-")
        self.key_file = Path(self.home.name) / "account.json"
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.endpoint = f"http://{self.host}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        private, public = Path(self.home.name) / "private.pem", Path(self.home.name) / "public.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", private], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
        self.key_file.write_text(json.dumps({"client_email": EMAIL, "private_key": private.read_text()}))
        self.public_key = public
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        self.home.cleanup()

    # ---- signatures ----

    def _text(self, algorithm, request, query, signed, payload, date, scope):
        fields = "".join(f"{name}:{request.headers[name].strip()}\n" for name in signed.split(";"))
        pairs = sorted((urllib.parse.quote(name, safe="-_.~"), urllib.parse.quote(value, safe="-_.~"))
                       for name, value in query)
        canonical = "\n".join([request.command, request.path.split("?")[0], "&".join("=".join(pair) for pair in pairs),
                               fields, signed, payload])
        return "\n".join([algorithm, date, scope, hashlib.sha256(canonical.encode()).hexdigest()]).encode()

    def _check_head(self, request, query, body):
        names = [name.lower() for name in request.headers]
        if any(name.startswith("x-amz-") for name in names):
            raise Refused(400, "ExcessHeaderValues")
        found = re.fullmatch(r"GOOG4-HMAC-SHA256 Credential=([^/]+)/(\d{8}/auto/storage/goog4_request), "
                             r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})", request.headers["Authorization"] or "")
        if not found or found[1] != self.access_key:
            raise Refused(403, "AccessDenied")
        if any(name.startswith("x-goog-") and name not in found[3].split(";") for name in names):
            raise Refused(400, "UnsignedHeader")
        payload = request.headers["x-goog-content-sha256"]
        if payload not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
            raise Refused(400, "ContentSHA256Mismatch")
        text = self._text("GOOG4-HMAC-SHA256", request, query, found[3], payload, request.headers["x-goog-date"], found[2])
        if hmac.new(signing_key(self.secret_key, found[2]), text, hashlib.sha256).hexdigest() != found[4]:
            raise Refused(403, "SignatureDoesNotMatch")

    def _check_url(self, request, query):
        given = dict(query)
        name, scope = given["X-Goog-Credential"].split("/", 1)
        algorithm, signature = given["X-Goog-Algorithm"], given["X-Goog-Signature"]
        rest = [pair for pair in query if pair[0] != "X-Goog-Signature"]
        text = self._text(algorithm, request, rest, given["X-Goog-SignedHeaders"], "UNSIGNED-PAYLOAD",
                          given["X-Goog-Date"], scope)
        begin = datetime.datetime.strptime(given["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        now = datetime.datetime.now(datetime.timezone.utc)
        if not begin <= now < begin + datetime.timedelta(seconds=int(given["X-Goog-Expires"])):
            raise Refused(400, "ExpiredToken")
        if algorithm == "GOOG4-RSA-SHA256" and name == EMAIL:
            is_right = self._is_signed_by_account(text, signature)
        else:
            is_right = name == self.access_key and signature == hmac.new(signing_key(self.secret_key, scope), text,
                                                                         hashlib.sha256).hexdigest()
        if not is_right:
            raise Refused(403, "SignatureDoesNotMatch")
        self.url_algorithms.add(algorithm)

    def _is_signed_by_account(self, text, signature):
        file = Path(self.home.name) / uuid.uuid4().hex
        file.write_bytes(bytes.fromhex(signature))
        done = subprocess.run(["openssl", "dgst", "-sha256", "-verify", self.public_key, "-signature", file], input=text,
                              capture_output=True)
        return done.returncode == 0

    # ---- requests ----

    def answer(self, request, body):
        """Status, fields and bytes."""
        parts = urllib.parse.urlsplit(request.path)
        query = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
        if any(name == "X-Goog-Signature" for name, _ in query):
            self._check_url(request, query)
        else:
            self._check_head(request, query, body)
        path = urllib.parse.unquote(parts.path)
        if path == f"/{self.bucket}":
            return self._bucket(request.command, dict(query))
        if not path.startswith(f"/{self.bucket}/"):
            raise Refused(404, "NoSuchBucket")
        with self.lock:
            return self._object(request, path[len(self.bucket) + 2:], dict(query), body)

    def _object(self, request, key, query, body):
        if "uploads" in query:
            upload = uuid.uuid4().hex
            self.uploads[upload] = (key, {})
            return 200, {}, f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
        if "uploadId" in query:
            return self._multipart(request.command, key, query, body)
        if request.command == "PUT":
            if request.headers["x-goog-if-generation-match"] == "0" and key in self.objects:
                raise Refused(412, "PreconditionFailed")
            return 200, {"ETag": self._store(key, body)}, ""
        if key not in self.objects:
            raise Refused(404, "NoSuchKey")
        if request.command == "DELETE":
            del self.objects[key]
            return 204, {}, ""
        return self._get(request, key)

    def _store(self, key, data):
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        self.objects[key] = (data, etag, email.utils.formatdate(usegmt=True))
        return etag

    def _get(self, request, key):
        data, etag, date = self.objects[key]
        fields = {"ETag": etag, "Last-Modified": date}
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers["Range"] or "")
        if not found:
            return 200, fields, data
        first, last = int(found[1]), min(int(found[2] or len(data)), len(data) - 1)
        if first >= len(data):
            raise Refused(416, "InvalidRange")
        return 206, {**fields, "Content-Range": f"bytes {first}-{last}/{len(data)}"}, data[first:last + 1]

    def _multipart(self, method, key, query, body):
        if self.uploads.get(query["uploadId"], (None,))[0] != key:
            raise Refused(404, "NoSuchUpload")
        parts = self.uploads[query["uploadId"]][1]
        if method == "PUT":
            parts[int(query["partNumber"])] = body
            return 200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, ""
        if method == "GET":
            return 200, {}, "<ListPartsResult/>"
        if method == "POST":
            listed = re.findall(rb"<PartNumber>(\d+)</PartNumber><ETag>([^<]*)</ETag>", body)
            if any(int(number) not in parts or hashlib.md5(parts[int(number)]).hexdigest() != etag.decode().strip('"')
                   for number, etag in listed):
                raise Refused(400, "InvalidPart")
            self._store(key, b"".join(parts[int(number)] for number, _ in listed))
        del self.uploads[query["uploadId"]]
        return (200, {}, "<CompleteMultipartUploadResult/>") if method == "POST" else (204, {}, "")

    def _bucket(self, method, query):
        if method == "HEAD":
            return 200, {}, ""
        assert query["list-type"] == "2", query
        prefix, delimiter, limit = query["prefix"], query["delimiter"], int(query["max-keys"])
        with self.lock:
            names = sorted({prefix + key[len(prefix):].split(delimiter)[0] +
                            (delimiter if delimiter in key[len(prefix):] else "")
                            for key in self.objects if key.startswith(prefix)})
        names = [name for name in names if name > query.get("continuation-token", "")]
        page, more = names[:limit], len(names) > limit
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        entries = "".join(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" if name.endswith(delimiter)
                          else f"<Contents><Key>{escape(name)}</Key></Contents>" for name in page)
        return 200, {}, f"<?xml version='1.0' encoding='UTF-8'?><ListBucketResult>{token}{entries}</ListBucketResult>"

    def _handler(self):
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def reply(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                store.requests.append((self.command, self.path, sorted(name.lower() for name in self.headers)))
                try:
                    status, fields, answer = store.answer(self, body)
                except Refused as refused:
                    status, fields = refused.status, {}
                    answer = f"<?xml version='1.0'?><Error><Code>{refused.code}</Code></Error>"
                answer = answer if isinstance(answer, bytes) else answer.encode()
                self.send_response(status)
                for name, value in {**fields, "Content-Length": str(len(answer))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD" and status != 204:
                    self.wfile.write(answer)
                self.wfile.flush()

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = reply

            def log_message(self, *arguments):
                pass

        return Handler
