# SPDX-License-Identifier: Apache-2.0
"""Several replicas behind a balancer: deploy/local/up.sh as a user runs it, and the same topology from a test."""
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import images
import minato
import pytest
from images import content, tar_of
from redis_server import RedisServer, Traffic
from topology import Topology

SCRIPT = minato.ROOT / "deploy" / "local" / "up.sh"
READY = "Ctrl-C ends it all"


def children(pid):
    """Every process below `pid`, by the parents that /proc names."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue  # it ended meanwhile
    found, new = set(), {pid}
    while new:
        new = {one for one, parent in parents.items() if parent in new} - found
        found |= new
    return found


class Run:
    """up.sh in a session of its own, so that Ctrl-C reaches what a terminal's would."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(["bash", SCRIPT, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, start_new_session=True,
                                        env=minato.clean_environment())
        self.text = ""
        self.started = set()

    def wait_ready(self):
        for line in self.process.stdout:
            self.text += line
            if READY in line:
                self.started = children(self.process.pid)
                return self
        raise AssertionError(f"it ended with {self.process.wait()}\n{self.text}")

    def press_ctrl_c(self):
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self):
        """Its exit code; whatever it started has ended."""
        self.text += self.process.stdout.read()
        code = self.process.wait(60)
        assert [pid for pid in self.started if Path(f"/proc/{pid}").exists()] == []
        return code

    def port_of(self, name):
        return int(re.search(rf"{name} +127\.0\.0\.1:(\d+)", self.text).group(1))

    def folder(self):
        return Path(re.search(r"logs are in (\S+)\. ", self.text).group(1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in {self.process.pid, *self.started} if self.process.poll() is None else ():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.process.stdout.close()


def test_the_script_serves_an_image_through_the_balancer_and_leaves_nothing(tmp_path):
    layers = [tar_of({"a.bin": content(31, 300_000)}), tar_of({"b.bin": content(32, 20_000_000)})]
    digest = images.oci_layout(tmp_path / "there", {"amd64": layers})
    skopeo = images.ContainersTool("skopeo")
    try:
        with Run("--keep") as run:
            run.wait_ready()
            image = f"docker://localhost:{run.port_of('balancer')}/demo/image:v1"
            assert f"docker push localhost:{run.port_of('balancer')}/" in run.text
            skopeo.run("copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{tmp_path / 'there'}:latest", image)
            skopeo.run("copy", "--preserve-digests", "--src-tls-verify=false", image, f"oci:{tmp_path / 'back'}:latest")
            assert len(run.started) >= 8  # three of Ceph, redis, three replicas, nginx
            run.press_ctrl_c()
            assert run.wait() == 0, run.text
            logs = [(run.folder() / f"replica-{number}" / "server.log").read_text() for number in (1, 2, 3)]
            subprocess.run(["rm", "-r", run.folder()], check=True)
    finally:
        skopeo.done()
    assert images.layout_blobs(tmp_path / "there") == images.layout_blobs(tmp_path / "back")
    assert any(digest in log for log in logs)
    assert all("demo/image" in log for log in logs), "one replica got all of it"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_too_and_its_folder_goes(number):
    with Run() as run:
        run.wait_ready()
        assert run.folder().is_dir()
        run.process.send_signal(number)
        assert run.wait() == 0, run.text
        assert not run.folder().exists()


def test_a_taken_port_is_named_and_nothing_is_left():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Run("--port", str(port)) as run:
            assert run.wait() == 1
            assert f"port {port} is taken" in run.text


@pytest.mark.parametrize("arguments", [["--bogus"], ["--port"], ["--port", "http"], ["--port", "70000"], ["more"]])
def test_wrong_options_answer_2_with_a_word_on_help(arguments):
    with Run(*arguments) as run:
        assert run.wait() == 2
        assert "--help" in run.text


def test_help_names_every_option():
    with Run("--help") as run:
        assert run.wait() == 0
        assert all(option in run.text for option in ("--port", "--keep", "--help"))


@pytest.fixture(scope="module")
def cluster():
    with Topology(replicas=3) as running:
        yield running


def test_requests_go_round_all_replicas_and_bodies_flow_through(cluster):
    client = cluster.client()
    data = os.urandom(40 << 20)
    before = [len(replica.log_text()) for replica in cluster.replicas]
    digest = client.push_blob("cluster/round", data)
    assert client.head(f"/v2/cluster/round/blobs/{digest}").status == 200
    reply = client.request("GET", f"/v2/cluster/round/blobs/{digest}")
    assert reply.status == 307
    assert reply.header("location").startswith(cluster.store.endpoint)
    client.close()
    put = [request.bytes for request in cluster.store.requests() if request.method == "PUT"]
    assert len(data) <= sum(put) <= 1.5 * len(data)
    for replica, old in zip(cluster.replicas, before):
        minato.wait_until(lambda replica=replica, old=old: "cluster/round" in replica.log_text()[old:], 10, "a share")


def test_a_killed_replica_is_not_missed(cluster):
    client = cluster.client()
    victim = cluster.replicas[0]
    port = victim.port
    client.push_image("cluster/killed", "v0")
    victim.kill()
    for number in range(1, 7):
        manifest = client.push_image("cluster/killed", f"v{number}", layers=(b"%d" % number,))
        assert client.get(f"/v2/cluster/killed/manifests/v{number}").body == manifest
    victim.start(port)
    client.close()


def test_redis_is_wiped_paused_and_killed():
    with RedisServer() as redis:
        assert redis.command("SET", "a", "b") == "OK"
        assert (redis.command("GET", "a"), redis.command("KEYS", "*")) == ("b", ["a"])
        assert redis.command_calls()["get"] == 1
        traffic = Traffic(redis)
        with socket.create_connection(("127.0.0.1", redis.port), 5) as connection:
            connection.sendall(b"GET a\r\nGET b\r\n")  # two commands, one trip
            minato.wait_until(lambda: connection.recv(100, socket.MSG_PEEK).endswith(b"$-1\r\n"))
            assert traffic.since_last() == (2, 1)
        traffic.close()
        identity = redis.info("server")["run_id"]
        redis.restart()
        assert redis.command("GET", "a") is None
        assert redis.info("server")["run_id"] != identity
        redis.pause()
        with socket.create_connection(("127.0.0.1", redis.port), 5) as connection:
            connection.sendall(b"PING\r\n")
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            redis.resume()
            connection.settimeout(10)
            assert connection.recv(100) == b"+PONG\r\n"
        redis.pause()
        redis.stop()
        assert not redis.is_running()
        with pytest.raises(ConnectionRefusedError):
            redis.command("PING")
