# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made by openssl in the test's own folder."""
import ssl
import subprocess


class Certificate:
    def __init__(self, certificate, key):
        self.certificate, self.key = certificate, key


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def _key_arguments(kind):
    return ["rsa:2048"] if kind == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]


def self_signed(folder, name="server", kind="ecdsa"):
    """Of 127.0.0.1 and localhost; its own authority."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl("req", "-x509", "-nodes", "-days", "30", "-newkey", *_key_arguments(kind), "-keyout", made.key, "-out",
             made.certificate, "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    return made


def signed_by(authority, folder, common_name, file_name="client"):
    """A client's certificate."""
    made = Certificate(folder / f"{file_name}.pem", folder / f"{file_name}.key")
    request = folder / f"{file_name}.csr"
    _openssl("req", "-nodes", "-newkey", *_key_arguments("ecdsa"), "-keyout", made.key, "-out", request, "-subj",
             f"/O=minato/CN={common_name}", "-utf8")
    _openssl("x509", "-req", "-in", request, "-CA", authority.certificate, "-CAkey", authority.key, "-CAcreateserial",
             "-days", "30", "-out", made.certificate)
    return made


def context(server, client=None, version=None, protocols=("http/1.1",)):
    """What a client of `server` connects with."""
    made = ssl.create_default_context(cafile=str(server.certificate))
    made.set_alpn_protocols(list(protocols))
    if client is not None:
        made.load_cert_chain(str(client.certificate), str(client.key))
    if version is not None:
        made.minimum_version = made.maximum_version = version
    return made
