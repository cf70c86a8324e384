# SPDX-License-Identifier: Apache-2.0
"""Calls of the S3 driver, one by one, without a server: see tests/s3/s3_calls.c.

    with S3Calls(store, attempt_ms=500, call_ms=2000) as calls:
        assert calls.one("put", "path", "text").result == "OK"
"""
import subprocess
from typing import NamedTuple

import minato


class Outcome(NamedTuple):
    result: str
    ms: int


class S3Calls:
    def __init__(self, store, attempt_ms=10_000, call_ms=20_000, long_call_ms=120_000):
        section = store.configuration()["s3"]
        program = minato.binary().parent / "tests" / "s3_calls"
        environment = minato.clean_environment(
            MINATO_TESTS_S3_ENDPOINT=section["endpoint"], MINATO_TESTS_S3_BUCKET=section["bucket"],
            MINATO_TESTS_S3_ACCESS_KEY=section["access_key"], MINATO_TESTS_S3_SECRET_KEY=section["secret_key"])
        self.command = [str(program), *map(str, (attempt_ms, call_ms, long_call_ms))]
        self.environment = environment

    def __enter__(self):
        self.process = subprocess.Popen(self.command, env=self.environment, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if self.process.stdout.readline() != "ready\n":
            raise AssertionError(self.process.communicate()[1])
        return self

    def __exit__(self, kind, *exception):
        if kind is not None:
            self.process.kill()
        self.process.stdin.close()
        errors = self.process.stderr.read()
        code = self.process.wait(60)
        assert kind is not None or code == 0, errors

    def begin(self, name, path, text="x", size=None, count=1):
        """Calls that `end` waits for."""
        self.process.stdin.write(f"{count} {name} {path} {text} {len(text) if size is None else size}\n")
        self.process.stdin.flush()

    def end(self, count=1):
        outcomes = []
        for _ in range(count):
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()
            result, ms = line.split()
            outcomes.append(Outcome(result.upper(), int(ms)))
        return outcomes

    def many(self, count, *command, **more):
        self.begin(*command, **more, count=count)
        return self.end(count)

    def one(self, *command, **more):
        return self.many(1, *command, **more)[0]
