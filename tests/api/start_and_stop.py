# SPDX-License-Identifier: Apache-2.0
"""The process: its command line, draining, restarting, one process per folder."""
import os
import signal
import subprocess
import time

import pytest

import minato
from minato import digest_of, wait_until, with_query

SECRET = {"http": {"secret": "0123456789abcdef" * 4}}
DATA = os.urandom(2_000_000)
DIGEST = digest_of(DATA)


def run(*arguments, env=None, cwd=None, timeout=20):
    return subprocess.run([str(minato.binary()), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, env=minato.clean_environment(**(env or {})), cwd=cwd, timeout=timeout)


# ---- command line -----------------------------------------------------------------------------------------------------


def test_version_is_one_line():
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("minato ") and done.stdout.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["serve", "--help"], ["config", "--help"]])
def test_help_names_every_command(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("serve", "config check", "--config", "--listen", "--data", "--version"):
        assert word in done.stdout


@pytest.mark.parametrize("arguments", [[], ["bogus"], ["--bogus"], ["serve", "--bogus"], ["serve", "--config"],
                                       ["serve", "more"], ["config"], ["config", "check"], ["config", "bogus", "x"]])
def test_wrong_command_line_answers_usage_and_2(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert "usage" in done.stderr.lower()
    assert done.stdout == ""


# ---- configuration ----------------------------------------------------------------------------------------------------

BAD = {
    "unknown key": ("http:\n  lisen: 127.0.0.1:5000\n", 2, "listen"),
    "unknown section": ("bogus:\n  x: 1\n", 1, "bogus"),
    "wrong number": ("http:\n  loops: many\n", 2, "loops"),
    "wrong bool": ("storage:\n  delete: maybe\n", 2, "delete"),
    "wrong size": ("uploads:\n  buffer: 64Mib!\n", 2, "buffer"),
    "size too small": ("uploads:\n  buffer: 1KiB\n", 2, "buffer"),
    "wrong duration": ("http:\n  idle_timeout: soon\n", 2, "idle_timeout"),
    "wrong choice": ("log:\n  level: loud\n", 2, "debug"),
    "wrong address": ("http:\n  listen: nowhere\n", 2, "listen"),
    "short secret": ("http:\n  secret: tooshort\n", 2, "secret"),
    "a later key": ("storage:\n  azure:\n    container: x\n", 2, "azure"),
    "twice": ("log:\n  level: info\n  level: warn\n", 3, "level"),
    "no YAML": ("http: [\n", None, ""),
    "a list": ("- http\n", 1, ""),
    "a scalar for a section": ("http: yes\n", 1, "http"),
}


@pytest.mark.parametrize("text, line, word", BAD.values(), ids=BAD.keys())
def test_wrong_configuration_is_refused_with_file_and_line(tmp_path, text, line, word):
    path = tmp_path / "minato.yaml"
    path.write_text(text)
    for command in (["config", "check", path], ["serve", "--config", path]):
        done = run(*command, cwd=tmp_path)
        assert done.returncode == 1
        assert str(path) in done.stderr
        if line:
            assert f"{path}:{line}" in done.stderr, done.stderr
        assert word in done.stderr
        assert "tooshort" not in done.stderr


def test_all_mistakes_are_named_at_once(tmp_path):
    path = tmp_path / "minato.yaml"
    path.write_text("http:\n  loops: many\nlog:\n  level: loud\nbogus: 1\n")
    done = run("config", "check", path)
    assert [f"{path}:{line}" in done.stderr for line in (2, 4, 5)] == [True] * 3


def test_right_configuration_is_checked_and_not_served(tmp_path):
    path = tmp_path / "minato.yaml"
    path.write_text("log:\n  level: warn\n")
    done = run("config", "check", path, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "minato-data").exists()


def test_example_configuration_is_right(tmp_path):
    done = run("config", "check", minato.ROOT / "deploy" / "config" / "minato.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_missing_configuration_is_named(tmp_path):
    done = run("config", "check", tmp_path / "none.yaml")
    assert done.returncode == 1
    assert "none.yaml" in done.stderr


def test_environment_wins_over_the_file_and_the_flag_over_both(start, tmp_path):
    server = start(config={"log": {"format": "json"}}, env={"MINATO_LOG_FORMAT": "text", "MINATO_HTTP_LISTEN": "127.0.0.1:1"})
    server.client().get("/v2/")
    server.stop()
    assert not [line for line in server.log_text().splitlines() if line.startswith("{")]


@pytest.mark.parametrize("name, value", [("MINATO_LOG_LEVEL", "loud"), ("MINATO_BOGUS", "1"), ("MINATO_HTTP_LOOPS", "x")])
def test_wrong_environment_is_refused_by_name(tmp_path, name, value):
    done = run("serve", "--data", tmp_path / "data", "--listen", "127.0.0.1:0", env={name: value}, cwd=tmp_path)
    assert done.returncode == 1
    assert name in done.stderr


def test_secret_may_come_from_a_file(start, tmp_path):
    (tmp_path / "secret").write_text("f" * 64 + "\n")
    server = start(config={"http": {"secret_file": tmp_path / "secret"}})
    assert server.client().get("/v2/").status == 200


def test_secret_that_it_makes_is_for_its_user_only_and_outlives_the_process(start, tmp_path):
    server = start(data=tmp_path / "data")
    secret = tmp_path / "data" / "minato" / "secret"
    assert secret.stat().st_mode & 0o7777 == 0o600
    made = secret.read_bytes()
    assert len(made) == 64
    location = server.client().begin_upload("t/secret")
    server.stop()
    again = start(data=tmp_path / "data")
    assert again.client().get(location).status == 204
    assert secret.read_bytes() == made
    again.stop()
    for one in (server, again):
        assert made.decode() not in one.log_text()


def test_port_in_use_is_said_clearly(start, tmp_path):
    server = start()
    done = run("serve", "--listen", server.address, "--data", tmp_path / "other", cwd=tmp_path)
    # SO_REUSEPORT must not let a second server of another folder steal half of the connections.
    assert done.returncode == 1
    assert server.address in done.stderr


def test_default_folder_and_ready_line(tmp_path):
    port = minato.free_port()
    process = subprocess.Popen([str(minato.binary()), "serve", "--listen", f"127.0.0.1:{port}"], cwd=tmp_path,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env=minato.clean_environment())
    try:
        line = process.stdout.readline()
        assert f"listening on http://127.0.0.1:{port} (data in" in line
        assert (tmp_path / "minato-data").is_dir()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        process.stdout.close()


# ---- stopping ---------------------------------------------------------------------------------------------------------------


@pytest.mark.threads
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_server_stops_at_once_with_0(start, number):
    server = start()
    idle = server.client()
    idle.get("/v2/")
    begun = time.monotonic()
    server.signal(number)
    assert server.wait(20) == 0
    assert time.monotonic() - begun < 10
    idle.close()
    server.check_clean()


@pytest.mark.threads
def test_upload_in_flight_at_sigterm_is_finished(start):
    server = start()
    client = server.client()
    client.get("/v2/")
    with server.wire() as wire:
        wire.head("POST", f"/v2/t/drain/blobs/uploads/?digest={DIGEST}", f"Content-Length: {len(DATA)}")
        wire.send(DATA[:700_000])
        time.sleep(0.3)
        server.signal(signal.SIGTERM)
        time.sleep(0.5)
        assert server.is_running()
        for at in range(700_000, len(DATA), 100_000):
            wire.send(DATA[at:at + 100_000])
            time.sleep(0.02)
        reply = wire.reply()
        assert reply.status == 201
        assert reply.header("connection") == "close"
    assert server.wait(30) == 0
    with minato.Minato(data=server.data) as again:
        assert again.client().get(f"/v2/t/drain/blobs/{DIGEST}").body == DATA


def test_draining_server_takes_no_new_connections_and_says_it_is_not_ready(start):
    server = start()
    kept = server.client()
    with server.wire() as wire:
        wire.head("POST", f"/v2/t/drain/blobs/uploads/?digest={DIGEST}", f"Content-Length: {len(DATA)}")
        wire.send(DATA[:100_000])
        time.sleep(0.3)
        server.signal(signal.SIGTERM)

        def refused():
            try:
                server.wire(timeout=2).close()
                return False
            except OSError:
                return True

        wait_until(refused, what="refusal of new connections")
        wire.send(DATA[100_000:])
        assert wire.reply().status == 201
    kept.close()
    assert server.wait(30) == 0


def test_drain_timeout_ends_a_stalled_upload_and_its_session_goes_on_after_the_restart(start, tmp_path):
    config = {"http": dict(SECRET["http"], drain_timeout="1s")}
    server = start(config=config, data=tmp_path / "data")
    location = server.client().begin_upload("t/stalled")
    with server.wire() as wire:
        wire.head("PATCH", location, f"Content-Length: {len(DATA)}").send(DATA[:500_000])
        time.sleep(0.3)
        begun = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait(30) == 0
        assert time.monotonic() - begun < 10
    again = start(config=config, data=tmp_path / "data")
    client = again.client()
    reply = client.get(location)
    assert reply.status == 204
    have = int(reply.header("range").split("-")[1])
    have = have + 1 if have else 0
    reply = client.request("PATCH", reply.header("location"), body=DATA[have:])
    assert reply.status == 202
    assert client.request("PUT", with_query(reply.header("location"), digest=DIGEST),
                          headers={"Content-Length": "0"}).status == 201


def test_second_signal_ends_it_at_once(start):
    server = start()
    with server.wire() as wire:
        wire.head("POST", f"/v2/t/x/blobs/uploads/?digest={DIGEST}", f"Content-Length: {len(DATA)}").send(DATA[:1000])
        time.sleep(0.3)
        server.signal(signal.SIGTERM)
        time.sleep(0.5)
        assert server.is_running()
        begun = time.monotonic()
        server.signal(signal.SIGTERM)
        server.wait(10)
        assert time.monotonic() - begun < 5


# ---- restarting -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_acknowledged_patch_survives_a_restart(start, tmp_path, number):
    server = start(config=SECRET, data=tmp_path / "data")
    client = server.client()
    location = client.begin_upload("t/restart")
    untouched = client.begin_upload("t/restart")
    for first in (0, 500_000):
        reply = client.request("PATCH", location, body=DATA[first:first + 500_000])
        assert reply.status == 202
        location = reply.header("location")
    client.close()
    server.signal(number)
    server.wait(20)
    again = start(config=SECRET, data=tmp_path / "data")
    client = again.client()
    reply = client.get(location)
    assert (reply.status, reply.header("range")) == (204, "0-999999")
    assert client.get(untouched).status == 204
    reply = client.request("PATCH", reply.header("location"), body=DATA[1_000_000:],
                           headers={"Content-Range": f"1000000-{len(DATA) - 1}"})
    assert reply.status == 202
    reply = client.request("PUT", with_query(reply.header("location"), digest=DIGEST), headers={"Content-Length": "0"})
    assert reply.status == 201
    assert client.get(f"/v2/t/restart/blobs/{DIGEST}").body == DATA


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_content_is_there_after_a_restart(start, tmp_path, number):
    server = start(data=tmp_path / "data")
    manifest = server.client().push_image("t/stay", "v1", [DATA])
    server.signal(number)
    server.wait(20)
    client = start(data=tmp_path / "data").client()
    assert client.get("/v2/t/stay/manifests/v1").body == manifest
    assert client.get(f"/v2/t/stay/blobs/{DIGEST}").body == DATA
    assert client.get("/v2/t/stay/tags/list").json()["tags"] == ["v1"]


# ---- one process per folder -----------------------------------------------------------------------------------------------


def test_second_process_on_a_folder_is_refused(start, tmp_path):
    first = start(data=tmp_path / "data")
    done = run("serve", "--listen", "127.0.0.1:0", "--data", tmp_path / "data", cwd=tmp_path)
    assert done.returncode == 1
    assert str(tmp_path / "data") in done.stderr
    assert first.client().get("/v2/").status == 200
    first.kill()
    # A crashed process leaves no lock behind.
    start(data=tmp_path / "data")


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    done = run("serve", "--listen", "127.0.0.1:0", "--data", tmp_path / "file" / "data", cwd=tmp_path)
    assert done.returncode == 1
    assert str(tmp_path / "file" / "data") in done.stderr


def test_reindex_says_that_an_index_of_its_own_needs_none(tmp_path):
    done = run("reindex", cwd=tmp_path)
    assert done.returncode == 1
    assert "index.redis" in done.stderr


@pytest.mark.parametrize("flags", [["--after"], ["--bogus"], ["--config="]])
def test_reindex_refuses_flags_it_does_not_know(tmp_path, flags):
    done = run("reindex", *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert "usage" in done.stderr
