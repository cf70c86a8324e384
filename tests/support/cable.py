# SPDX-License-Identifier: Apache-2.0
"""The network between one server and another, in a process of its own, to be held and cut as a test wants it.

    with Cable(redis.port) as cable:
        cable.port               # what the one connects to
        cable.hold()             # connections stand, nothing arrives; what is sent meanwhile arrives when it is mended
        cable.cut()              # connections are reset, and so is every new one
        cable.lose()             # as hold, but what is sent meanwhile never arrives: those connections stay silent
        cable.mend()
"""
import asyncio
import socket
import struct
import subprocess
import sys

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class Cable:
    def __init__(self, port):
        self.process = subprocess.Popen([sys.executable, __file__, str(port)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, process_group=0)
        self.port = int(self.process.stdout.readline())

    def _tell(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == word + "\n"

    def hold(self):
        self._tell("hold")

    def cut(self):
        self._tell("cut")

    def lose(self):
        self._tell("lose")

    def mend(self):
        self._tell("mend")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- the process ----

class Wire:
    """What is between both ends: one state for all connections."""

    def __init__(self, port):
        self.port = port
        self.state = "mend"
        self.changed = asyncio.Event()
        self.writers = set()

    def put(self, state):
        self.state = state
        self.changed.set()
        self.changed = asyncio.Event()
        if state == "cut":
            for writer in list(self.writers):
                reset(writer)

    async def flow(self, reader, writer):
        """One direction, to its end."""
        is_lossy = False
        try:
            while data := await reader.read(65536):
                while self.state == "hold":
                    await self.changed.wait()
                is_lossy = is_lossy or self.state == "lose"
                if not is_lossy:
                    writer.write(data)
                    await writer.drain()
            while self.state == "hold":
                await self.changed.wait()
            writer.close()
        except OSError:
            reset(writer)

    async def connect(self, reader, writer):
        if self.state == "cut":
            return reset(writer)
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return reset(writer)
        both = {writer, there_writer}
        self.writers |= both
        await asyncio.gather(self.flow(reader, there_writer), self.flow(there_reader, writer))
        self.writers -= both


def reset(writer):
    if writer.is_closing():
        return
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def main(port):
    wire = Wire(port)
    server = await asyncio.start_server(wire.connect, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    words = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    while line := await words.readline():  # to its end: then whoever started this is gone
        word = line.decode().strip()
        wire.put(word)
        print(word, flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
