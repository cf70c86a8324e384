# SPDX-License-Identifier: Apache-2.0
"""Passwords, tokens, TLS and redirects."""
import certificates
from meddler import LOGIN, Meddler
from minato_bench import SMALL
from users import server_with_user

FEW = (*SMALL, "--clients", 2, "--jobs", 6)


def test_wrong_password_is_an_error(server, load, apart):
    results = load("pull-storm", *FEW, *apart, url=server.url, password="wrong")
    assert results["exit"] == 1
    assert results["errors"] == {"status_401": 1}


def test_registry_that_wants_tokens_gets_one_for_each_scope(server, load, apart):
    load("pull-storm", *FEW, *apart, url=server.url)
    with Meddler(server, tokens_last_s=300) as proxy:
        results = load("pull-storm", *FEW, *apart, url=proxy.url)
    assert results["exit"] == 0, results["errors"]
    assert results["jobs"]["count"] == 6
    scope = f"repository:{apart[1]}/app0:pull"
    assert {asked[0] for asked in proxy.token_requests} == {"", scope}
    assert len(proxy.token_requests) == 2, "the ping's, and the repository's, which all share"
    assert all(asked[1:] == (["meddler"], LOGIN) for asked in proxy.token_requests)


def test_token_that_ends_is_renewed(server, load, apart):
    load("pull-storm", *FEW, *apart, url=server.url)
    with Meddler(server, tokens_last_s=1) as proxy:
        results = load("pull-storm", *SMALL, *apart, "--rate", 10, "--duration", "2s", url=proxy.url)
    assert results["exit"] == 0, results["errors"]
    assert 1 <= results["operations"]["token"]["count"] <= 6


def test_token_server_that_refuses_is_an_error(server, load, apart):
    with Meddler(server, tokens_last_s=300) as proxy:
        results = load("pull-storm", *FEW, *apart, url=proxy.url, password="wrong")
    assert results["exit"] == 1
    assert results["operations"]["token"]["errors"] == {"status_401": 1}


def test_redirected_blob_is_fetched_and_checked_without_the_password(server, load, apart):
    load("pull-storm", *FEW, *apart, url=server.url)
    with Meddler(server, tokens_last_s=300, redirects=True) as proxy:
        followed = load("pull-storm", *FEW, *apart, url=proxy.url)
        answered = load("pull-storm", *FEW, *apart, "--no-follow", url=proxy.url)
    assert followed["exit"] == answered["exit"] == 0
    assert followed["operations"]["get_blob"]["bytes_in"] > 6 * 2 * 4096
    assert answered["operations"]["get_blob"]["bytes_in"] == 0
    assert answered["operations"]["get_blob"]["count"] == followed["operations"]["get_blob"]["count"] == 6 * 3
    assert proxy.strays == []


def test_tls_is_checked_and_speaks_both_protocols(load, tmp_path, apart):
    certificate, other = (certificates.self_signed(tmp_path, name) for name in ("server", "other"))
    server = server_with_user(tmp_path, http={"tls": {"certificate": certificate.certificate, "key": certificate.key}})
    with server:
        url = f"https://{server.address}"
        for protocol in ("--http1.1", "--http2"):
            results = load("push-storm", *FEW, *apart, protocol, "--ca", certificate.certificate, url=url)
            assert results["exit"] == 0 and results["jobs"]["count"] == 6
        assert load("push-storm", *FEW, *apart, "--insecure", url=url)["exit"] == 0
        refused = load("push-storm", *FEW, *apart, "--ca", other.certificate, url=url)
    assert refused["errors"] == {"connect": 1}
    assert refused["exit"] == 1


def test_registry_without_http2_is_told(server, load, apart):
    with Meddler(server) as proxy:
        results = load("pull-storm", *FEW, *apart, "--http2", url=proxy.url)
    assert results["exit"] == 1
