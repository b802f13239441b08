"""Hundreds of streams at once are complete and unmixed."""

import asyncio
import json

from tests.wire.bodies import COMPLETIONS, completion

STREAMS = 256


async def _ask(port, number):
    body = json.dumps(completion(prompt=f"stream {number}", stream=True, ignore_eos=True))
    head = f"POST {COMPLETIONS} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write((head + body).encode())
    raw = await reader.read()
    writer.close()
    await writer.wait_closed()
    lines = [line for line in raw.decode().splitlines() if line.startswith("data: {")]
    return "".join(json.loads(line[6:])["choices"][0]["text"] for line in lines)


async def _ask_all(port):
    return await asyncio.gather(*(_ask(port, number) for number in range(STREAMS)))


def test_every_stream_has_its_own_whole_text(simulator):
    served = simulator()
    texts = asyncio.run(_ask_all(served.port))
    assert len(set(texts)) == STREAMS
    for number in range(0, STREAMS, 16):
        body = completion(prompt=f"stream {number}", ignore_eos=True)
        alone = served.post(COMPLETIONS, body).json["choices"][0]["text"]
        assert texts[number] == alone
    state = served.get("/_sim/engine").json
    assert (state["active"], state["queued"]) == (0, 0)
