import asyncio
import socket

import pytest
import uvicorn

from gateway.api.server import HttpServer, listening_socket

pytestmark = pytest.mark.anyio

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def hello(scope, receive, send):  # noqa: ARG001 - ASGI
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
async def served():
    """A server, its socket, and a function that runs it to its end."""
    sock = listening_socket("127.0.0.1", 0)
    started = asyncio.Event()
    server = HttpServer(hello, on_started=started.set)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve([sock]))
        await started.wait()
        yield server, sock
        server.stop_accepting()


def connect(sock):
    """Connect as far as the kernel goes; the server's loop does not turn meanwhile."""
    client = socket.create_connection(sock.getsockname())
    client.setblocking(False)  # noqa: FBT003 - the library's signature
    return client


async def answer_to(client):
    loop, said = asyncio.get_running_loop(), b""
    with client:
        try:
            while part := await loop.sock_recv(client, 1000):
                said += part
        except ConnectionResetError:
            return "reset"
    return said


async def test_a_connection_that_waits_in_the_kernel_is_served_as_the_server_ends(served):
    server, sock = served
    client = connect(sock)
    client.send(REQUEST)
    await server.shutdown([sock])
    assert (await answer_to(client)).endswith(b"hello\r\n0\r\n\r\n")


async def test_one_that_has_just_come_may_still_send_its_request(served):
    server, sock = served
    client = connect(sock)
    ending = asyncio.ensure_future(server.shutdown([sock]))
    await asyncio.sleep(0.02)
    client.send(REQUEST)
    assert (await answer_to(client)).endswith(b"hello\r\n0\r\n\r\n")
    await ending


async def test_uvicorn_by_itself_turns_it_away(served):
    server, sock = served
    client = connect(sock)
    client.send(REQUEST)
    await uvicorn.Server.shutdown(server, [sock])
    assert await answer_to(client) in {"reset", b""}


async def test_nobody_can_connect_afterwards(served):
    server, sock = served
    address = sock.getsockname()
    await server.shutdown([sock])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
