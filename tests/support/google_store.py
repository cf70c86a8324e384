# SPDX-License-Identifier: Apache-2.0
"""Google Cloud Storage's XML API: it refuses x-amz- fields beside x-goog- ones, and x-goog- fields that are not signed, and
knows URLs signed by a service account.
"""
import json
import subprocess
import tempfile
import uuid
from pathlib import Path

from scripted_store import Refused, ScriptedStore

EMAIL = "registry@project.iam.gserviceaccount.com"


class GoogleStore(ScriptedStore):
    access_key, secret_key = "GOOG1EXAMPLE", "hmac-secret"
    scheme, terminator, scope, field, parameter = "GOOG4", "goog4_request", "auto/storage", "x-goog-", "X-Goog-"

    def __init__(self):
        super().__init__()
        self.home = tempfile.TemporaryDirectory(prefix="minato-google-")
        self.key_file = Path(self.home.name) / "account.json"

    def __enter__(self):
        private, public = Path(self.home.name) / "private.pem", Path(self.home.name) / "public.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", private], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
        self.key_file.write_text(json.dumps({"client_email": EMAIL, "private_key": private.read_text()}))
        self.public_key = public
        return super().__enter__()

    def __exit__(self, *exception):
        super().__exit__(*exception)
        self.home.cleanup()

    def check_fields(self, request, body):
        if any(name.lower().startswith("x-amz-") for name in request.headers):
            raise Refused(400, "ExcessHeaderValues")

    def check_put(self, request, key, body):
        if request.headers["x-goog-if-generation-match"] == "0" and key in self.objects:
            raise Refused(412, "PreconditionFailed")

    def is_signed_otherwise(self, algorithm, name, text, signature):
        if algorithm != "GOOG4-RSA-SHA256" or name != EMAIL:
            return False
        file = Path(self.home.name) / uuid.uuid4().hex
        file.write_bytes(bytes.fromhex(signature))
        done = subprocess.run(["openssl", "dgst", "-sha256", "-verify", self.public_key, "-signature", file], input=text,
                              capture_output=True)
        return done.returncode == 0
