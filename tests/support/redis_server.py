# SPDX-License-Identifier: Apache-2.0
"""A real redis-server that keeps nothing on disk: started, wiped, stopped and cut off as a test wants it.

    with RedisServer() as redis:
        redis.command("FLUSHALL"), redis.info("stats"), redis.pause(), redis.resume(), redis.restart()
"""
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import minato


class RedisServer:
    """One process on one port, kept between restarts; whatever it held is gone with the process."""

    def __init__(self, port=None, folder=None, arguments=(), configuration=None):
        self.home = None if folder else tempfile.TemporaryDirectory(prefix="minato-redis-")
        self.folder = Path(folder or self.home.name)
        self.port = port or minato.free_port()
        self.arguments = list(arguments)
        self.configuration = [str(configuration)] if configuration else []  # a file, where arguments do not do
        self.log_path = self.folder / "redis.log"
        self.process = None

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["redis-server", *self.configuration, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no",
                 "--dir", str(self.folder), *self.arguments], env=minato.clean_environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, process_group=0)
        minato.wait_until(self._is_ready, 20, "redis-server")
        return self

    def _is_ready(self):
        assert self.process.poll() is None, self.log_path.read_text(errors="replace")[-2000:]
        try:
            return self.info("server")["process_id"] == str(self.process.pid)  # not another's that has the port
        except (OSError, EOFError):
            return False

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """SIGTERM; also wakes it when it is paused."""
        self._end(signal.SIGTERM)

    def kill(self):
        self._end(signal.SIGKILL)

    def _end(self, number):
        if self.is_running():
            self.process.send_signal(number)
            self.process.send_signal(signal.SIGCONT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def restart(self):
        """Killed and started again on its port: empty, and another run_id."""
        self.kill()
        return self.start()

    def pause(self):
        """Connections stay and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def command(self, *words):
        """One command over a connection of its own; its reply as str, int, None or a list of them."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            return Resp(connection).call(*words)

    def info(self, section="everything"):
        """INFO as a dict of texts: info("stats")["total_reads_processed"]."""
        return parse_info(self.command("INFO", section))

    def command_calls(self):
        """How often each command ran, those of scripts too: {"get": 3}."""
        return command_calls(self.info("commandstats"))

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def apply(self, config):
        """A server's configuration, with its index here."""
        return {**config, "index": {"redis": {"url": self.url, **config.get("index", {}).get("redis", {})}}}

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.kill()
        if self.home:
            self.home.cleanup()


def parse_info(text):
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))


def command_calls(info):
    return {name.removeprefix("cmdstat_"): int(dict(part.split("=", 1) for part in text.split(","))["calls"])
            for name, text in info.items() if name.startswith("cmdstat_")}


class Traffic:
    """What others ask of a Redis between two looks, over a connection that stays: what it asks itself is not counted."""

    def __init__(self, redis):
        self.connection = socket.create_connection(("127.0.0.1", redis.port), timeout=10)
        self.resp = Resp(self.connection)
        self.last = self._look()

    def _look(self):
        info = parse_info(self.resp.call("INFO", "everything"))
        commands = sum(calls for name, calls in command_calls(info).items() if name not in ("info", "ping"))
        return commands, int(info["total_reads_processed"])

    def since_last(self):
        """(commands, those of scripts too; reads: round trips, as long as one request at a time asks)."""
        before, self.last = self.last, self._look()
        return self.last[0] - before[0], self.last[1] - before[1] - 1

    def close(self):
        self.resp.lines.close()
        self.connection.close()


class Resp:
    """Redis' protocol, version 2, as far as replies of commands need it."""

    def __init__(self, connection):
        self.connection = connection
        self.lines = connection.makefile("rb")

    def call(self, *words):
        encoded = [str(word).encode() for word in words]
        self.connection.sendall(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in encoded))
        return self.reply()

    def reply(self):
        line = self.lines.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("redis closed the connection")
        kind, text = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise RuntimeError(text)
        if kind == b"$":
            return None if text == "-1" else self.lines.read(int(text) + 2)[:-2].decode()
        if kind == b"*":
            return None if text == "-1" else [self.reply() for _ in range(int(text))]
        return int(text) if kind == b":" else text
