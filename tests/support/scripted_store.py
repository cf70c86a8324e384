# SPDX-License-Identifier: Apache-2.0
"""As much of an S3 store as the S3 driver uses, in memory, for stores that are not at hand: what they refuse is in the
subclasses (amazon_store.py, google_store.py). It checks every signature with code of its own.
"""
import datetime
import email.utils
import hashlib
import hmac
import re
import sys
import threading
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape


class Refused(Exception):
    def __init__(self, status, code):
        super().__init__(code)
        self.status, self.code = status, code


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024  # connections that come at once are not to be reset

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # clients may go
            super().handle_error(request, client_address)


class ScriptedStore:
    """One bucket. `requests` has what was asked: method, path, fields by their names in lower case."""

    bucket, access_key, secret_key = "images", "EXAMPLEKEY", "example-secret"
    # How its signatures name things.
    scheme, terminator, scope, field, parameter = "AWS4", "aws4_request", "us-east-1/s3", "x-amz-", "X-Amz-"

    def __init__(self):
        self.lock = threading.Lock()
        self.objects, self.uploads, self.requests, self.url_algorithms = {}, {}, [], set()
        self.server = Server(("127.0.0.1", 0), self._handler())
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.endpoint = f"http://{self.host}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def configuration(self):
        return {"s3": {"endpoint": self.endpoint, "bucket": self.bucket, "access_key": self.access_key,
                       "secret_key": self.secret_key}}

    # ---- what the subclasses refuse, by raising Refused ----

    def check_fields(self, request, body):
        """Of every signed request."""

    def check_put(self, request, key, body):
        """Of an object that is put whole; the lock is held."""

    def check_part(self, request, upload, body):
        pass

    def check_complete(self, upload, body):
        pass

    def is_signed_otherwise(self, algorithm, name, text, signature):
        """A URL by other keys than ours."""
        return False

    # ---- signatures ----

    def now(self):
        return datetime.datetime.now(datetime.timezone.utc)

    def _sign(self, scope, text):
        key = (self.scheme + self.secret_key).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return hmac.new(key, text, hashlib.sha256).hexdigest()

    def _text(self, algorithm, request, query, signed, payload, date, scope):
        fields = "".join(f"{name}:{request.headers[name].strip()}\n" for name in signed.split(";"))
        pairs = sorted((urllib.parse.quote(name, safe="-_.~"), urllib.parse.quote(value, safe="-_.~"))
                       for name, value in query)
        canonical = "\n".join([request.command, request.path.split("?")[0], "&".join("=".join(pair) for pair in pairs),
                               fields, signed, payload])
        return "\n".join([algorithm, date, scope, hashlib.sha256(canonical.encode()).hexdigest()]).encode()

    def _check_head(self, request, query, body):
        names = [name.lower() for name in request.headers]
        found = re.fullmatch(rf"{self.scheme}-HMAC-SHA256 Credential=([^/]+)/(\d{{8}}/{self.scope}/{self.terminator}), "
                             r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})", request.headers["Authorization"] or "")
        if not found or found[1] != self.access_key:
            raise Refused(403, "AccessDenied")
        if any(name.startswith(self.field) and name not in found[3].split(";") for name in names):
            raise Refused(400, "UnsignedHeader")
        payload, date = request.headers[self.field + "content-sha256"], request.headers[self.field + "date"]
        self.check_date(date)
        if payload not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
            raise Refused(400, "XAmzContentSHA256Mismatch")
        text = self._text(f"{self.scheme}-HMAC-SHA256", request, query, found[3], payload, date, found[2])
        if self._sign(found[2], text) != found[4]:
            raise Refused(403, "SignatureDoesNotMatch")

    def check_date(self, text):
        """A quarter of an hour is what clocks may differ."""
        date = datetime.datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        if abs(date - self.now()) > datetime.timedelta(minutes=15):
            raise Refused(403, "RequestTimeTooSkewed")
        return date

    def _check_url(self, request, query):
        given = {name[len(self.parameter):]: value for name, value in query}
        name, scope = given["Credential"].split("/", 1)
        algorithm, signature = given["Algorithm"], given["Signature"]
        rest = [pair for pair in query if pair[0] != self.parameter + "Signature"]
        text = self._text(algorithm, request, rest, given["SignedHeaders"], "UNSIGNED-PAYLOAD", given["Date"], scope)
        begin = datetime.datetime.strptime(given["Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        if not begin <= self.now() < begin + datetime.timedelta(seconds=int(given["Expires"])):
            raise Refused(400, "ExpiredToken")
        is_ours = name == self.access_key and signature == self._sign(scope, text)
        if not is_ours and not self.is_signed_otherwise(algorithm, name, text, signature):
            raise Refused(403, "SignatureDoesNotMatch")
        self.url_algorithms.add(algorithm)

    # ---- requests ----

    def answer(self, request, body):
        """Status, fields and bytes."""
        parts = urllib.parse.urlsplit(request.path)
        query = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
        if any(name == self.parameter + "Signature" for name, _ in query):
            self._check_url(request, query)
        else:
            self.check_fields(request, body)
            self._check_head(request, query, body)
        path = urllib.parse.unquote(parts.path)
        if path == f"/{self.bucket}":
            return self._bucket(request, dict(query), body)
        if not path.startswith(f"/{self.bucket}/"):
            raise Refused(404, "NoSuchBucket")
        with self.lock:
            return self._object(request, path[len(self.bucket) + 2:], dict(query), body)

    def _object(self, request, key, query, body):
        if "uploads" in query:
            upload = uuid.uuid4().hex
            self.uploads[upload] = {"key": key, "parts": {}, "fields": request.headers, "sums": {}}
            return 200, {}, f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
        if "uploadId" in query:
            return self._multipart(request, key, query, body)
        if request.command == "PUT":
            self.check_put(request, key, body)
            return 200, {"ETag": self._store(key, body)}, ""
        if key not in self.objects:
            raise Refused(404, "NoSuchKey")
        if request.command == "DELETE":
            del self.objects[key]
            return 204, {}, ""
        return self._get(request, key)

    def _store(self, key, data):
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        self.objects[key] = (data, etag, email.utils.formatdate(self.now().timestamp(), usegmt=True))
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

    def _multipart(self, request, key, query, body):
        upload = self.uploads.get(query["uploadId"])
        if upload is None or upload["key"] != key:
            raise Refused(404, "NoSuchUpload")
        parts = upload["parts"]
        if request.command == "PUT":
            self.check_part(request, upload, body)
            parts[int(query["partNumber"])] = body
            upload["sums"][int(query["partNumber"])] = request.headers["x-amz-checksum-crc32c"]
            return 200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, ""
        if request.command == "GET":
            return 200, {}, "<ListPartsResult/>"
        if request.command == "POST":
            listed = re.findall(rb"<PartNumber>(\d+)</PartNumber><ETag>([^<]*)</ETag>", body)
            if any(int(number) not in parts or hashlib.md5(parts[int(number)]).hexdigest() != etag.decode().strip('"')
                   for number, etag in listed):
                raise Refused(400, "InvalidPart")
            self.check_complete(upload, body)
            self._store(key, b"".join(parts[int(number)] for number, _ in listed))
        del self.uploads[query["uploadId"]]
        return (200, {}, "<CompleteMultipartUploadResult/>") if request.command == "POST" else (204, {}, "")

    def _bucket(self, request, query, body):
        if request.command == "HEAD":
            return 200, {}, ""
        if "delete" in query:
            return self._delete_many(request, body)
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

    def _delete_many(self, request, body):
        raise Refused(501, "NotImplemented")

    def _handler(self):
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def reply(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                store.requests.append((self.command, self.path, {name.lower(): self.headers[name] for name in self.headers}))
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

            def date_time_string(self, timestamp=None):
                return email.utils.formatdate(store.now().timestamp(), usegmt=True)

            def log_message(self, *arguments):
                pass

        return Handler
