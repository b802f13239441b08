"""A simulator on a real socket, in a thread of this process, and a client that shows bytes."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from backends.simulator.app import App
from backends.simulator.building import Options, build
from backends.simulator.serving import bind, server
from backends.simulator.simulator import Simulator

CREATED = 1754294810
"""The wall clock of these simulators stands still."""
DEADLINE_S = 30


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Served:
    """One running simulator."""

    sim: Simulator
    port: int

    def request(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if raw is not None:
            headers = {"content-type": "application/json"} | headers
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request(method, path, raw, headers)
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Reply:
        return self.request("GET", path)

    def post(self, path: str, body: object = None, **headers: str) -> Reply:
        return self.request("POST", path, body, **headers)

    def arm(self, *faults: dict) -> None:
        assert self.post("/_sim/faults", list(faults)).status == 200

    def raw(self, path: str, body: dict) -> socket.socket:
        """Send a request and leave its answer on the socket."""
        text = json.dumps(body).encode()
        client = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        client.sendall(f"{head}content-length: {len(text)}\r\n\r\n".encode() + text)
        return client

    def entries(self) -> list[dict]:
        return self.get("/_sim/requests").json["items"]


def unchunked(raw: bytes) -> bytes:
    """Return the body of a chunked answer as far as it came."""
    body = raw.split(b"\r\n\r\n", 1)[1].removesuffix(b"RST")
    return b"".join(body.split(b"\r\n")[1::2])


def read_to_end(client: socket.socket) -> bytes:
    """Read until the server closes or resets; a reset is marked by a last ``RST``."""
    parts = []
    with client:
        try:
            while part := client.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            parts.append(b"RST")
    return b"".join(parts)


def read_until(client: socket.socket, mark: bytes) -> bytes:
    """Read until ``mark`` was seen."""
    seen = b""
    while mark not in seen:
        part = client.recv(65536)
        assert part, f"closed before {mark!r}: {seen!r}"
        seen += part
    return seen


def eventually(condition, what: str):
    """Wait until ``condition()`` is true, and return what it returned."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {DEADLINE_S} s: {what}")


def options(**changed) -> Options:
    """Return the command's defaults, ten times as fast, with ``changed``."""
    return Options(
        **{
            "model": "m", "port": 0, "host": "127.0.0.1", "dialect": "1.2", "seed": 0,
            "time_scale": 0.1, "start_s": 0.0, "faults": (), "enable_iter_perf_stats": False,
            "iter_stats_max_iterations": 1000, "return_perf_metrics": False,
            "perf_metrics_max_requests": 0, "event_buffer_max_size": 0,
            "enable_block_reuse": True, "stream_interval": 1, "enable_chunked_prefill": False,
            "acceptance_rate": 0.7, "max_draft_len": 0,
        }
        | changed
    )  # fmt: skip


@contextmanager
def serving(**changed) -> Iterator[Served]:
    """Run a simulator until the block ends."""
    sim = build(options(**changed), clock=time.monotonic, wall=lambda: float(CREATED))
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    running = server(App(sim), listener, "127.0.0.1")
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        eventually(lambda: running.started, "the simulator serves")
        yield Served(sim, port)
    finally:
        running.should_exit = True
        thread.join(3)  # a stream that a test left open would be waited for without limit
        running.force_exit = True
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
