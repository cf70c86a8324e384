# SPDX-License-Identifier: Apache-2.0
"""Processes that ask servers the same question as fast as they can, while a test changes what the answer is.

    with Pollers(ports, request_of, judge) as pollers:
        pollers.begin(1)         # a change that makes the answer 1, or takes away thing 1
        ...                      # its request
        pollers.acknowledge(1)   # and its 201: returns when each poller has asked once more and was told right

A poller notes what has been acknowledged before it asks: an answer that is older is wrong, whenever it comes.
"""
import multiprocessing
import os
import re
import socket
import time

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)


class Answer:
    def __init__(self, head, body):
        self.head, self.body = head, body
        self.status = int(head.split(b" ", 2)[1])

    def __repr__(self):
        return f"<{self.head!r} {self.body[:200]!r}>"


class Connection:
    """One that is kept; a request is bytes."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the server closed the connection")
        self.buffer += data

    def ask(self, request):
        self.socket.sendall(request)
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        found = LENGTH.search(head)
        length = int(found.group(1)) if found else 0
        while len(self.buffer) < length:
            self._more()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Answer(head, body)


class Pollers:
    """One for each of `ports`. `request_of(n)`: what is asked while thing n is the last that was shown. `judge(asked,
    acknowledged, begun, answer)`: what is wrong with an answer, or None; the numbers of the last change that was acknowledged
    before the question, and of the last that had begun when the answer was there."""

    def __init__(self, ports, request_of, judge):
        self.ports, self.request_of, self.judge = ports, request_of, judge
        fork = multiprocessing.get_context("fork")  # `judge` may be any function
        self.shown, self.begun, self.acknowledged, self.is_over = (fork.Value("q", 0, lock=False) for _ in range(4))
        self.checked = fork.Array("q", len(ports), lock=False)
        self.counts = fork.Array("q", len(ports), lock=False)
        self.problems = fork.SimpleQueue()
        self.processes = [fork.Process(target=self._run, args=(i,), daemon=True) for i in range(len(ports))]

    def __enter__(self):
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, kind, value, trace):
        self.is_over.value = 1
        for process in self.processes:
            process.join(70)
            process.kill()
        if kind is None:
            self._check()

    def _check(self):
        assert self.problems.empty(), self.problems.get()

    def _run(self, index):
        parent = os.getppid()
        try:
            connection = Connection(self.ports[index])
            while not self.is_over.value and os.getppid() == parent:
                acknowledged, shown = self.acknowledged.value, self.shown.value
                answer = connection.ask(self.request_of(shown))
                problem = self.judge(shown, acknowledged, self.begun.value, answer)
                assert not problem, f"shown {shown}, acknowledged {acknowledged}, begun {self.begun.value}: {problem}: {answer}"
                self.counts[index] += 1
                self.checked[index] = acknowledged
        except Exception as error:  # noqa: BLE001 - told in the test's process
            self.problems.put(f"127.0.0.1:{self.ports[index]}: {error!r}")

    def _wait_each(self, is_far_enough):
        deadline = time.monotonic() + 60
        while not all(is_far_enough(i) for i in range(len(self.ports))):
            self._check()
            assert time.monotonic() < deadline, "a poller stands still"
            time.sleep(0.0005)

    def show(self, number):
        """From now on thing `number` is asked for; returns when each poller has done so."""
        self.shown.value = number
        before = list(self.counts)
        self._wait_each(lambda i: self.counts[i] >= before[i] + 2)  # the first may have been asked before

    def begin(self, number):
        self.begun.value = number

    def acknowledge(self, number):
        self.acknowledged.value = number
        self._wait_each(lambda i: self.checked[i] >= number)
