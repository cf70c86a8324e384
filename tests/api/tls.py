# SPDX-License-Identifier: Apache-2.0
"""TLS: handshakes, sessions that go on, certificates that are read again, and clients who are known by theirs."""
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import certificates
from minato import clean_environment, digest_of, wait_until, with_query


def tls_config(server, **more):
    config = {"http": {"tls": {"certificate": server.certificate, "key": server.key}}}
    for section, keys in more.items():
        config.setdefault(section, {}).update(keys)
    return config


@pytest.fixture(params=["ecdsa", "rsa"])
def certificate(request, tmp_path):
    return certificates.self_signed(tmp_path, kind=request.param)


@pytest.fixture
def ecdsa(tmp_path):
    return certificates.self_signed(tmp_path)


@pytest.mark.threads
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_image_is_pushed_and_pulled(start, certificate, version):
    server = start(config=tls_config(certificate))
    client = server.client(tls=certificates.context(certificate, version=version))
    layer = os.urandom(5 << 20)
    manifest = client.push_image("t/a", "v1", layers=(layer,))
    assert client.connection.sock.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2"}.get(version, "TLSv1.3")
    assert client.get("/v2/t/a/manifests/v1").body == manifest
    assert client.get(f"/v2/t/a/blobs/{digest_of(layer)}").body == layer
    reply = client.get(f"/v2/t/a/blobs/{digest_of(layer)}", Range="bytes=100000-4000000")
    assert reply.status == 206 and reply.body == layer[100000:4000001]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(start, ecdsa, version):
    server = start(config=tls_config(ecdsa))
    context = certificates.context(ecdsa)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises(ssl.SSLError):
        server.client(tls=context).get("/v2/")
    assert server.client(tls=certificates.context(ecdsa)).get("/v2/").status == 200


@pytest.mark.parametrize("offered, chosen", [(["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"),
                                             (["http/1.1"], "http/1.1")])
def test_protocol_is_agreed_on(start, ecdsa, offered, chosen):
    server = start(config=tls_config(ecdsa))
    wire = server.wire(tls=certificates.context(ecdsa, protocols=offered))
    assert wire.socket.selected_alpn_protocol() == chosen


def test_unknown_protocols_end_the_handshake(start, ecdsa):
    server = start(config=tls_config(ecdsa))
    with pytest.raises(ssl.SSLError):
        server.wire(tls=certificates.context(ecdsa, protocols=["spdy/3"]))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_session_goes_on_at_another_replica_with_the_same_secret(start, ecdsa, version):
    config = tls_config(ecdsa, http={"secret": "s" * 40})
    config["http"]["tls"] = {"certificate": ecdsa.certificate, "key": ecdsa.key}
    first, second, stranger = start(config=config), start(config=config), start(config=tls_config(ecdsa))
    context = certificates.context(ecdsa, version=version)

    def connect(server, session=None):
        with socket.create_connection((server.host, server.port), timeout=20) as plain:
            with context.wrap_socket(plain, server_hostname="localhost", session=session) as wrapped:
                wrapped.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                while wrapped.recv(65536):
                    pass
                return wrapped.session, wrapped.session_reused

    session, is_reused = connect(first)
    assert session.has_ticket and not is_reused
    assert connect(first, session)[1]
    assert connect(second, session)[1]
    assert not connect(stranger, session)[1], "another secret"


def test_plain_http_on_the_port_is_told_to_use_https(start, ecdsa):
    server = start(config=tls_config(ecdsa))
    wire = server.wire().head("GET", "/v2/")
    reply = wire.reply()
    assert (reply.status, reply.error_code()) == (400, "UNSUPPORTED")
    assert "https" in reply.json()["errors"][0]["message"]


def test_garbage_and_cut_handshakes_leave_others_alone(start, ecdsa):
    server = start(config=tls_config(ecdsa))
    client = server.client(tls=certificates.context(ecdsa))
    assert client.get("/v2/").status == 200
    for data in (b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\xff\xff" + b"a" * 70000, os.urandom(2000), b"\x80\x2e\x01"):
        wire = server.wire()
        try:
            wire.send(data)
            wire.socket.shutdown(socket.SHUT_WR)
            while wire.socket.recv(65536):
                pass
        except OSError:
            pass
    assert client.get("/v2/").status == 200


def test_client_that_does_not_finish_its_handshake_is_closed(start, ecdsa):
    server = start(config=tls_config(ecdsa, http={"tls": {"certificate": ecdsa.certificate, "key": ecdsa.key},
                                                  "head_timeout": "500ms", "idle_timeout": "60s"}))
    silent, half = server.wire(timeout=20), server.wire(timeout=20)
    patient = server.wire(tls=certificates.context(ecdsa))
    half.send(b"\x16\x03\x01\x02\x00\x01\x00")
    assert silent.socket.recv(1) == b"" and half.socket.recv(1) == b""
    time.sleep(0.6)
    assert patient.head("GET", "/v2/").reply().status == 200, "idle is not slow"


def test_pipelined_requests_that_came_in_one_record_are_all_answered(start, ecdsa):
    server = start(config=tls_config(ecdsa))
    wire = server.wire(tls=certificates.context(ecdsa))
    wire.send(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
    for _ in range(200):
        assert wire.reply().status == 200


def test_upload_in_small_records_with_pauses_arrives(start, ecdsa):
    server = start(config=tls_config(ecdsa))
    wire = server.wire(tls=certificates.context(ecdsa))
    data = os.urandom(300_000)
    location = server.client(tls=certificates.context(ecdsa)).begin_upload("t/small")
    wire.head("PUT", with_query(location, digest=digest_of(data)), f"Content-Length: {len(data)}")
    for at in range(0, len(data), 7919):
        wire.send(data[at:at + 7919])
        if at % 5 == 0:
            time.sleep(0.002)
    assert wire.reply("PUT").status == 201


def test_slow_reader_gets_all_of_a_large_blob(start, ecdsa):
    server = start(config=tls_config(ecdsa))
    data = os.urandom(20 << 20)
    client = server.client(tls=certificates.context(ecdsa))
    client.push_blob("t/slow", data)
    wire = server.wire(tls=certificates.context(ecdsa), receive_buffer=65536)
    wire.head("GET", f"/v2/t/slow/blobs/{digest_of(data)}")
    time.sleep(0.5)
    assert wire.reply().body == data


def test_refused_upload_is_heard_before_its_body(start, ecdsa, tmp_path):
    users = tmp_path / "users"
    users.write_text(subprocess.run(["htpasswd", "-nbB", "-C", "5", "alice", "wonder"], check=True, capture_output=True,
                                    text=True).stdout)
    server = start(config=tls_config(ecdsa, auth={"htpasswd": {"file": users}}))
    wire = server.wire(tls=certificates.context(ecdsa))
    wire.head("PUT", "/v2/t/a/blobs/uploads/x?digest=sha256:" + "0" * 64, "Content-Length: 300000000")
    assert wire.reply("PUT").status == 401


# ---- SIGHUP ----

def test_hangup_reads_the_certificate_again_while_an_upload_goes_on(start, ecdsa, tmp_path):
    server = start(config=tls_config(ecdsa))
    old = certificates.context(ecdsa)
    data = os.urandom(200_000)
    location = server.client(tls=old).begin_upload("t/reload")
    upload = server.wire(tls=old)
    upload.head("PUT", with_query(location, digest=digest_of(data)), f"Content-Length: {len(data)}")
    upload.send(data[:100_000])
    (tmp_path / "new").mkdir()
    new = certificates.self_signed(tmp_path / "new", kind="rsa")
    shutil.copy(new.certificate, ecdsa.certificate)
    shutil.copy(new.key, ecdsa.key)
    server.signal(signal.SIGHUP)
    server.wait_log('"event":"tls.reloaded"')
    wait_until(lambda: served_certificate(server) == ssl.PEM_cert_to_DER_cert(new.certificate.read_text()))
    upload.send(data[100_000:])
    assert upload.reply("PUT").status == 201
    assert server.client(tls=certificates.context(new)).get("/v2/").status == 200


def served_certificate(server):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((server.host, server.port), timeout=20) as plain:
        with context.wrap_socket(plain) as wrapped:
            return wrapped.getpeercert(binary_form=True)


def test_hangup_with_a_broken_certificate_keeps_the_old_one(start, ecdsa):
    server = start(config=tls_config(ecdsa))
    before = served_certificate(server)
    ecdsa.key.write_text("nothing\n")
    server.signal(signal.SIGHUP)
    assert str(ecdsa.key) in server.wait_log(r'"event":"tls.reload_failed".*').group(0)
    assert served_certificate(server) == before


def test_hangup_without_tls_is_harmless(start):
    server = start()
    server.signal(signal.SIGHUP)
    assert server.client().get("/v2/").status == 200


# ---- clients' certificates ----

@pytest.fixture
def mutual(start, ecdsa, tmp_path):
    authority = certificates.self_signed(tmp_path, "authority")
    config = tls_config(ecdsa)
    config["http"]["tls"]["client_ca"] = authority.certificate
    return start(config=config), ecdsa, authority


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_common_name_of_a_verified_certificate_is_the_user(mutual, tmp_path, version):
    server, certificate, authority = mutual
    ci = certificates.signed_by(authority, tmp_path, "ci-runner")
    client = server.client(tls=certificates.context(certificate, ci, version))
    client.push_image("t/mutual", "v1")
    server.wait_log(r'"method":"PUT","path":"/v2/t/mutual/manifests/v1","status":201,"user":"ci-runner"')
    assert client.request("DELETE", "/v2/t/mutual/manifests/v1").status == 202


def test_session_that_goes_on_keeps_its_user(mutual, tmp_path):
    server, certificate, authority = mutual
    context = certificates.context(certificate, certificates.signed_by(authority, tmp_path, "ci"),
                                   ssl.TLSVersion.TLSv1_3)
    session = None
    for expected in (False, True):
        with socket.create_connection((server.host, server.port), timeout=20) as plain:
            with context.wrap_socket(plain, server_hostname="localhost", session=session) as wrapped:
                wrapped.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = b""
                while piece := wrapped.recv(65536):
                    answer += piece
                assert answer.startswith(b"HTTP/1.1 200"), answer
                assert wrapped.session_reused == expected
                session = wrapped.session


def test_without_a_certificate_nobody_is_known(mutual):
    server, certificate, _ = mutual
    reply = server.client(tls=certificates.context(certificate)).get("/v2/")
    assert (reply.status, reply.error_code()) == (403, "DENIED")


def test_certificate_of_another_authority_ends_the_handshake(mutual, tmp_path):
    server, certificate, _ = mutual
    (tmp_path / "other").mkdir()
    other = certificates.self_signed(tmp_path / "other", "authority")
    stranger = certificates.signed_by(other, tmp_path, "ci", "stranger")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        server.client(tls=certificates.context(certificate, stranger)).get("/v2/")


@pytest.mark.parametrize("name", ["caf\u00e9", 'quo"te', "back\\\\slash"])
def test_name_with_odd_characters_is_nobody(mutual, tmp_path, name):
    server, certificate, authority = mutual
    odd = certificates.signed_by(authority, tmp_path, name, "odd")
    assert server.client(tls=certificates.context(certificate, odd)).get("/v2/").status == 403


# ---- mistakes ----

@pytest.mark.parametrize("break_it, expected", [
    (lambda c: c.certificate.write_text("x"), "http.tls.certificate: "),
    (lambda c: c.key.write_text("x"), "http.tls.key: "),
    (lambda c: c.key.unlink(), "http.tls.key: "),
    (lambda c: shutil.copy(certificates.self_signed(c.key.parent, "other").key, c.key), "http.tls.key: "),
    (lambda c: subprocess.run(["openssl", "ec", "-aes128", "-passout", "pass:secret", "-in", c.key, "-out", c.key],
                              check=True, capture_output=True), "without a passphrase"),
])
def test_unusable_files_are_named_at_the_start(ecdsa, tmp_path, break_it, expected):
    import minato
    break_it(ecdsa)
    server = minato.Minato(folder=tmp_path / "server", config=tls_config(ecdsa))
    run = subprocess.run(server.command(), capture_output=True, text=True, timeout=30, env=clean_environment())
    assert run.returncode == 1
    assert expected in run.stderr and str(ecdsa.key.parent) in run.stderr, run.stderr


def test_many_handshakes_at_once_all_succeed(start, ecdsa):
    server = start(config=tls_config(ecdsa))
    statuses = []

    def connect():
        statuses.append(server.client(tls=certificates.context(ecdsa)).get("/v2/").status)

    threads = [threading.Thread(target=connect) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 50
