# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 for tests: Http2Connection stands in for http.client.HTTPConnection (one request at a time); Frames is a
connection whose frames a test sends one by one."""
import http.client
import io
import socket
import struct
import time

import h2.config
import h2.connection
import h2.events
import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT = 0, 1, 3, 4
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 7, 8, 9, 11
PIECE = 16384


class Response:
    """As http.client.HTTPResponse, read to its end already."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.will_close = False
        self._body = io.BytesIO(body)

    def read(self, *size):
        return self._body.read(*size)


class Http2Connection:
    def __init__(self, host, port, timeout=60, tls=None):
        self.host, self.port, self.timeout, self.tls = host, port, timeout, tls
        self.sock = None
        self.state = None
        self.response = None

    def connect(self):
        self.sock = socket.create_connection((self.host, self.port), timeout=self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is not None:
            self.sock = self.tls.wrap_socket(self.sock, server_hostname="localhost")
            assert self.sock.selected_alpn_protocol() == "h2"
        # Tests send what a well-behaved client would not.
        self.state = h2.connection.H2Connection(config=h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False,
            normalize_outbound_headers=False))
        self.state.initiate_connection()
        self.state.increment_flow_control_window(1 << 24)
        self._flush()

    def _flush(self):
        data = self.state.data_to_send()
        if data:
            self.sock.sendall(data)

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise http.client.RemoteDisconnected("closed by the server")
        for event in self.state.receive_data(data):
            self._take(event)
        self._flush()

    def _take(self, event):
        if isinstance(event, h2.events.ConnectionTerminated):
            self.is_going = True
        if getattr(event, "stream_id", None) != self.stream:
            return
        if isinstance(event, h2.events.ResponseReceived):
            self.head = event.headers
        elif isinstance(event, h2.events.DataReceived):
            self.body += event.data
            self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.is_over = True
        elif isinstance(event, h2.events.StreamReset):
            self.is_reset = event.error_code
            if not self.is_over:
                raise ConnectionError(f"the stream was reset with {event.error_code}")

    def request(self, method, path, body=None, headers=None, encode_chunked=False):
        if self.sock is None:
            self.connect()
        headers = dict(headers or {})
        if isinstance(body, str):
            body = body.encode()
        if isinstance(body, (bytes, bytearray)) and not any(n.lower() == "content-length" for n in headers):
            headers["content-length"] = str(len(body))
        fields = [(":method", method), (":scheme", "https" if self.tls else "http"), (":path", path),
                  (":authority", f"{self.host}:{self.port}")]
        fields += [(name.lower(), str(value)) for name, value in headers.items()
                   if name.lower() not in ("transfer-encoding", "connection", "host")]
        self.stream = self.state.get_next_available_stream_id()
        self.head, self.body, self.is_over, self.is_reset, self.is_going = None, b"", False, None, False
        has_body = body is not None and not (isinstance(body, (bytes, bytearray)) and len(body) == 0)
        self.state.send_headers(self.stream, fields, end_stream=not has_body)
        self._flush()
        if has_body:
            self._send_body(body)

    def _send_body(self, body):
        for piece in self._pieces(body):
            while piece and not self.is_over:
                room = min(self.state.local_flow_control_window(self.stream), PIECE, len(piece))
                if room <= 0:  # below zero, when the settings came after a first window was used
                    self._more()
                    continue
                self.state.send_data(self.stream, piece[:room])
                piece = piece[room:]
                self._flush()
        if not self.is_over:
            self.state.end_stream(self.stream)
            self._flush()

    @staticmethod
    def _pieces(body):
        if isinstance(body, (bytes, bytearray)):
            yield memoryview(bytes(body)).tobytes()
        elif hasattr(body, "read"):
            while piece := body.read(1 << 20):
                yield piece
        else:
            yield from body

    def getresponse(self):
        while not self.is_over:
            self._more()
        headers = http.client.HTTPMessage()
        for name, value in self.head:
            if not name.startswith(":"):
                headers[name] = value
        response = Response(int(dict(self.head)[":status"]), headers, self.body)
        response.will_close = self.is_going
        return response

    def close(self):
        if self.sock is not None:
            self.sock.close()
            self.sock = None


class Frames:
    """Sends exactly the frames a test asks for; understands enough of what comes back."""

    def __init__(self, host, port, timeout=20, settle=True, tls=None):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.buffer = b""
        self.window = {}
        self.replies = {}  # by stream: [(name, value), ...]
        self.bodies = {}
        self.ended = set()
        self.resets = {}
        self.goaway = None
        if settle:
            self.send(PREFACE)
            self.frame(SETTINGS)
            self.until(lambda f: f[0] == SETTINGS and not f[1] & ACK)
            self.frame(SETTINGS, ACK)

    def send(self, data):
        self.socket.sendall(data)
        return self

    @staticmethod
    def make(kind, flags=0, stream=0, payload=b""):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    def frame(self, kind, flags=0, stream=0, payload=b""):
        return self.send(self.make(kind, flags, stream, payload))

    def block(self, method, path, *fields):
        return self.encoder.encode([(":method", method), (":scheme", "http"), (":path", path), (":authority", "registry"),
                                    *fields])

    def request(self, stream, method, path, *fields, end=True):
        return self.frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, self.block(method, path, *fields))

    def data(self, stream, data, end=False):
        return self.frame(DATA, END_STREAM if end else 0, stream, data)

    def _exactly(self, n):
        while len(self.buffer) < n:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError("closed by the server")
            self.buffer += data
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def read(self):
        """The next frame: (kind, flags, stream, payload), taken into account."""
        head = self._exactly(9)
        kind, flags, stream = head[3], head[4], struct.unpack(">I", head[5:])[0]
        payload = self._exactly(struct.unpack(">I", b"\0" + head[:3])[0])
        if kind == WINDOW_UPDATE:
            self.window[stream] = self.window.get(stream, 0) + struct.unpack(">I", payload)[0]
        elif kind == HEADERS:
            assert flags & END_HEADERS
            self.replies.setdefault(stream, []).extend(self.decoder.decode(payload))
        elif kind == DATA:
            self.bodies[stream] = self.bodies.get(stream, b"") + payload
        elif kind == RST_STREAM:
            self.resets[stream] = struct.unpack(">I", payload)[0]
        elif kind == GOAWAY:
            self.goaway = struct.unpack(">II", payload[:8])
        elif kind == PING and not flags & ACK:
            self.frame(PING, ACK, 0, payload)
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.ended.add(stream)
        return kind, flags, stream, payload

    def until(self, wanted, wait_s=20):
        """Reads up to the first frame that is `wanted`."""
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            frame = self.read()
            if wanted(frame):
                return frame
        raise AssertionError("it never came")

    def status(self, stream):
        """Of the complete reply on `stream`; its body is in bodies."""
        while stream not in self.ended:
            self.read()
        return int(dict(self.replies[stream])[":status"])

    def end(self):
        """Reads to the end of the connection; the error code of its GOAWAY, None without one."""
        try:
            while True:
                self.read()
        except (EOFError, ConnectionError):
            pass
        return self.goaway[1] if self.goaway else None

    def close(self):
        self.socket.close()
