import asyncio
import socket

import pytest

from gateway.api.server import HttpServer, bound_socket
from gateway.dataplane.watch import PortLimits

pytestmark = pytest.mark.anyio

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
KEPT = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def hello(scope, receive, send):  # noqa: ARG001 - ASGI
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
async def served():
    """A server, its socket, and a function that runs it to its end."""
    sock = bound_socket("127.0.0.1", 0)
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


async def served_once(client):
    """Have a request answered on a connection that stays open."""
    loop, said = asyncio.get_running_loop(), b""
    client.send(KEPT)
    while not said.endswith(b"0\r\n\r\n"):
        said += await loop.sock_recv(client, 1000)


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


async def test_one_that_waits_is_left_to_the_successor_that_holds_the_same_socket(served):
    server, sock = served
    with sock.dup() as successors:
        client = connect(sock)
        client.send(REQUEST)
        server.stop_accepting(succeeded=True)
        await server.shutdown([sock])
        connection, _ = successors.accept()
        with connection:
            assert connection.recv(100) == REQUEST
            connection.send(b"from the successor")
    assert await answer_to(client) == b"from the successor"


async def test_without_a_successor_to_accept_it_that_one_is_turned_away(served):
    server, sock = served
    client = connect(sock)
    client.send(REQUEST)
    server.stop_accepting(succeeded=True)
    await server.shutdown([sock])
    assert await answer_to(client) in {"reset", b""}


async def test_a_connection_that_was_kept_open_is_served_once_more_by_who_goes(served):
    server, sock = served
    client = connect(sock)
    await served_once(client)
    server.stop_accepting(succeeded=True)
    ending = asyncio.ensure_future(server.shutdown([sock]))
    await asyncio.sleep(0.6)
    client.send(KEPT)
    said = await answer_to(client)
    assert b"connection: close" in said
    assert said.endswith(b"hello\r\n0\r\n\r\n")
    await ending


async def test_a_full_server_leaves_the_next_ones_waiting_and_takes_them_when_some_have_left():
    sock = bound_socket("127.0.0.1", 0)
    started = asyncio.Event()
    server = HttpServer(hello, limits=PortLimits(connections=3), on_started=started.set)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve([sock]))
        await started.wait()
        clients = [connect(sock) for _ in range(5)]
        for client in clients[:3]:
            await served_once(client)
        for client in clients[3:]:
            client.send(REQUEST)
        await asyncio.sleep(0.3)
        assert len(server.server_state.connections) == 3
        for client in clients[:3]:
            client.close()
        for client in clients[3:]:
            assert (await answer_to(client)).endswith(b"hello\r\n0\r\n\r\n")
        server.stop_accepting()


async def test_a_server_covers_for_another_and_gives_the_socket_back(served):
    server, own = served
    port = own.getsockname()[1]
    with bound_socket("127.0.0.1", port) as others:
        await server.listen_on([own, others])
        clients = [connect(own) for _ in range(20)]
        for client in clients:
            client.send(REQUEST)
            assert (await answer_to(client)).endswith(b"hello\r\n0\r\n\r\n")
        await server.listen_on([own])
        waiting = [connect(own) for _ in range(20)]
        while not server.server_state.connections:  # noqa: ASYNC110 - knows no event
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(server.server_state.connections) < 20, "some wait for the other"
        for client in waiting:
            client.close()


async def test_nobody_can_connect_afterwards(served):
    server, sock = served
    address = sock.getsockname()
    await server.shutdown([sock])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
