"""What the server does when its client leaves: it sees it at once, and stops a second later."""

import socket

from tests.wire.serving import eventually, read_until

COMPLETIONS = "/v1/completions"
LONG = {"model": "m", "prompt": "hello", "max_tokens": 50_000, "ignore_eos": True}


def entry(served):
    return served.entries()[-1]


def test_a_client_that_leaves_is_seen_at_once_and_aborted_at_the_next_look(simulator):
    served = simulator()
    client = served.raw(COMPLETIONS, LONG | {"stream": True})
    read_until(client, b"data:")
    assert entry(served)["closed_at"] is None
    client.close()
    eventually(lambda: entry(served)["closed_at"], "the close was seen")
    eventually(lambda: entry(served)["aborted"], "the engine was told")
    seen = entry(served)
    assert seen["finished_at"] is None
    assert 0 <= seen["last_token_at"] - seen["closed_at"] < 2
    assert seen["tokens_sent"] > 0
    eventually(lambda: served.get("/_sim/engine").json["active"] == 0, "the slot is free")


def test_a_client_that_leaves_before_a_whole_answer_frees_its_slot_too(simulator):
    served = simulator()
    client = served.raw(COMPLETIONS, LONG)
    eventually(lambda: served.get("/_sim/engine").json["active"] == 1, "it runs")
    client.close()
    eventually(lambda: entry(served)["aborted"], "the engine was told")


def test_a_request_that_waits_for_a_slot_can_leave(simulator):
    served = simulator(max_batch_size=1)
    first = served.raw(COMPLETIONS, LONG | {"stream": True})
    read_until(first, b"data:")
    second = served.raw(COMPLETIONS, LONG | {"stream": True})
    read_until(second, b"\r\n\r\n")
    assert served.get("/_sim/engine").json["queued"] == 1
    second.close()
    eventually(lambda: served.get("/_sim/engine").json["queued"] == 0, "it left the queue")
    first.close()
    eventually(lambda: served.get("/_sim/engine").json["active"] == 0, "all left")


def test_a_finished_request_is_neither_closed_nor_aborted(simulator):
    served = simulator()
    served.post(COMPLETIONS, LONG | {"max_tokens": 3})
    seen = entry(served)
    assert seen["closed_at"] is None
    assert seen["aborted"] is False
    assert seen["tokens_sent"] == 3
    assert seen["finished_at"] >= seen["last_token_at"] >= seen["received_at"]


def test_a_request_larger_than_the_engine_is_refused(simulator):
    served = simulator(max_batch_size=2)
    reply = served.post(COMPLETIONS, LONG | {"n": 3, "max_tokens": 1})
    assert reply.status == 400


def test_a_client_that_leaves_in_the_middle_of_its_body_asks_for_nothing(simulator):
    served = simulator()
    client = socket.create_connection(("127.0.0.1", served.port))
    client.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{")
    eventually(lambda: entry(served)["status"] is None, "the request was opened")
    client.close()
    eventually(lambda: entry(served)["closed_at"], "it left")
