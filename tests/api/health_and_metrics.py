# SPDX-License-Identifier: Apache-2.0
"""What the operator and the load balancer see: health, readiness, metrics, the access log."""
import json
import re
import shutil

import pytest

import minato
from minato import wait_until


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_answered_to_everybody(server, path):
    reply = server.client().get(path)
    assert reply.status == 200
    assert server.client().head(path).status == 200


def test_readiness_fails_with_its_store_and_liveness_does_not(start):
    server = start()
    client = server.client()
    assert client.get("/readyz").status == 200
    shutil.rmtree(server.data)
    wait_until(lambda: client.get("/readyz").status == 503, what="a 503 from /readyz")
    assert client.get("/healthz").status == 200


def test_metrics_are_on_their_own_listener_only(start):
    port = minato.free_port()
    server = start(config={"metrics": {"listen": f"127.0.0.1:{port}"}})
    client = server.client()
    client.push_image("t/metrics", "v1", [b"layer"])
    client.get("/v2/t/metrics/manifests/v1")
    assert client.get("/metrics").status == 404
    reply = minato.Client("127.0.0.1", port).get("/metrics")
    assert reply.status == 200
    assert reply.header("content-type").startswith("text/plain; version=0.0.4")
    text = reply.body.decode()
    for line in text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) minato_\w+ .+|minato_\w+(\{[^}]*\})? [-+.0-9eInf]+", line), line
    values = minato.metrics(text)
    assert any("manifest_get" in name for name in values)
    manifests = [value for name, value in values.items() if "manifests_put" in name]
    assert sum(manifests) == 1


def test_log_lines_that_were_lost_are_counted(start):
    port = minato.free_port()
    server = start(config={"metrics": {"listen": f"127.0.0.1:{port}"}},
                   prefix=["sh", "-c", 'exec "$@" 2>/dev/full', "sh"])

    def lost():
        server.client().get("/v2/")
        text = minato.Client("127.0.0.1", port).get("/metrics").body.decode()
        return minato.metrics(text)["minato_log_lines_dropped_total"]

    wait_until(lambda: lost() >= 3, what="lines counted as lost")
    before = lost()
    assert before <= lost() <= before + 50


def test_every_request_is_one_line_of_json_with_what_one_looks_for(start):
    server = start()
    client = server.client()
    manifest = client.push_image("t/log", "v1", [b"layer"])
    reply = client.request("GET", "/v2/t/log/manifests/v1", headers={"User-Agent": 'a "quoted\\ agent', "X-Request-Id": "mine"})
    assert reply.status == 200
    client.get("/v2/t/log/manifests/none")
    server.stop()
    lines = [json.loads(line) for line in server.log_text().splitlines() if line.startswith("{")]
    requests = [line for line in lines if line.get("event") == "http.request"]
    assert len({line["request_id"] for line in requests}) == len(requests)
    found = [line for line in requests if line["path"] == "/v2/t/log/manifests/v1" and line["method"] == "GET"]
    assert len(found) == 1
    found = found[0]
    assert found["status"] == 200
    assert found["repository"] == "t/log"
    assert found["digest"] == minato.digest_of(manifest)
    assert found["bytes_out"] == len(manifest)
    assert found["user_agent"] == 'a "quoted\\ agent'
    assert found["client_request_id"] == "mine"
    assert found["duration_us"] >= 0
    missing = [line for line in requests if line["path"].endswith("/none")]
    assert [line["status"] for line in missing] == [404]
    uploads = [line for line in requests if line["method"] == "PATCH"]
    assert sum(line["bytes_in"] for line in uploads) > 0


REFUSED = {
    400: b"GET /v2/?secret=1 HTTP/1.1\r\n\r\n",
    408: b"GET /v2/ HTTP/1.1\r\nHost: r\r\n",
    414: b"GET /v2/" + b"a" * 9000 + b" HTTP/1.1\r\nHost: r\r\n\r\n",
    431: b"GET /v2/ HTTP/1.1\r\nHost: r\r\nX: " + b"a" * 40000 + b"\r\n\r\n",
    505: b"GET /v2/ HTTP/2.0\r\nHost: r\r\n\r\n",
}


def test_requests_refused_before_any_handler_are_logged_and_counted_too(start):
    port = minato.free_port()
    server = start(config={"http": {"head_timeout": "300ms"}, "metrics": {"listen": f"127.0.0.1:{port}"}})
    for status, head in REFUSED.items():
        with server.wire() as wire:
            assert wire.send(head).reply().status == status
    text = minato.Client("127.0.0.1", port).get("/metrics").body.decode()
    counted = [value for name, value in minato.metrics(text).items() if name.startswith("minato_requests_total{") and
               'route="none"' in name]
    assert sum(counted) == len(REFUSED)
    server.stop()
    lines = [json.loads(line) for line in server.log_text().splitlines() if line.startswith("{")]
    lines = [line for line in lines if line["event"] == "http.request"]
    assert [line["status"] for line in lines] == list(REFUSED)
    assert len({line["request_id"] for line in lines}) == len(REFUSED)
    for line in lines:
        assert line["method"] == "GET"
        assert line["path"].startswith("/v2/") and len(line["path"]) <= 1024 and "secret" not in line["path"]
        assert line["refused"] and line["peer"].startswith("127.0.0.1:")
    assert lines[1]["duration_us"] >= 300_000


def test_log_lines_cannot_be_forged(start):
    server = start()
    with server.wire() as wire:
        wire.send(b"GET /v2/x%0a{\"event\":\"forged\"}/tags/list HTTP/1.1\r\nHost: r\r\n"
                  b"User-Agent: \x1b[31m\xff\xfe{\"event\":\"forged\"}\r\n\r\n")
        wire.reply()
    server.stop()
    for line in server.log_text().splitlines():
        if line.startswith("{"):
            assert json.loads(line)["event"] != "forged"
        assert "\x1b" not in line


def test_text_log_has_no_json(start):
    server = start(config={"log": {"format": "text"}})
    server.client().get("/v2/")
    server.stop()
    assert "http.request" in server.log_text()
    assert not [line for line in server.log_text().splitlines() if line.startswith("{")]
