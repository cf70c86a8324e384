# SPDX-License-Identifier: Apache-2.0
"""A store behind TLS with an authority of its own: `storage.s3.ca` names it, and without it nothing is believed."""
import os
import subprocess

import pytest

import minato
from certificates import self_signed

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def certificate(folder):
    return self_signed(folder, "store")


@pytest.fixture(scope="module")
def endpoint(store, folder, certificate):
    """A second gateway of the same store."""
    port = minato.free_port()
    frontend = f"beast ssl_endpoint=127.0.0.1:{port} ssl_certificate={certificate.certificate} ssl_private_key={certificate.key}"
    log = folder / "gateway.log"
    gateway = subprocess.Popen(["radosgw", "-f", "-n", "client.tls", f"--rgw-frontends={frontend}", f"--log-file={log}"],
                               env=store.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        minato.wait_until(lambda: is_listening(port), 60, "the gateway")
        yield f"https://127.0.0.1:{port}"
    finally:
        gateway.kill()
        gateway.wait()


def is_listening(port):
    done = subprocess.run(["curl", "-sk", "-o", "/dev/null", f"https://127.0.0.1:{port}/"], env=minato.clean_environment())
    return done.returncode == 0


def configuration(store, endpoint, **more):
    section = {**store.configuration()["s3"], "endpoint": endpoint, "prefix": "tls", **more}
    return {"http": {"secret": SECRET}, "storage": {"s3": section}, "redirect": {"enabled": False}}


def test_a_store_whose_authority_is_named_serves(store, endpoint, certificate):
    data = os.urandom(17 << 20)  # in parts
    with minato.Minato(config=configuration(store, endpoint, ca=certificate.certificate)) as server:
        client = server.client()
        digest = client.push_blob("tls/blob", data)
        assert client.get(f"/v2/tls/blob/blobs/{digest}").body == data
        client.close()


@pytest.mark.parametrize("ca", [None, "another", "missing"])
def test_a_store_that_cannot_be_believed_is_refused(store, endpoint, folder, ca):
    more = {} if ca is None else {"ca": self_signed(folder, "another").certificate if ca == "another" else folder / "none.pem"}
    path = folder / "minato.yaml"
    config = configuration(store, endpoint, **more)
    path.write_text(minato.to_yaml({**config, "http": {**config["http"], "listen": "127.0.0.1:0"}}))
    done = subprocess.run([minato.binary(), "serve", "--config", path], env=minato.clean_environment(),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert all(word in done.stderr for word in [endpoint, "certificate", "storage.s3.ca"]), done.stderr
