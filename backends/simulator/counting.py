"""Routes of the newest era that count tokens and generate nothing."""

from backends.simulator.arrival import read_values
from backends.simulator.endpoints import MESSAGES
from backends.simulator.errors import Refused
from backends.simulator.frames import encode
from backends.simulator.messages import read_count
from backends.simulator.replies import Receive, Scope, Send, read_body, send_body
from backends.simulator.simulator import Simulator
from backends.simulator.text import tokenize


async def internal_tokenize(sim: Simulator, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer ``POST /_internal/tokenize``: the tokens of a plain prompt."""
    body = await read_body(receive) or b""
    try:
        tokens = tokenize(read_values(sim, scope, body, "TokenizeRequest")["prompt"])
        await send_body(send, 200, encode({"count": len(tokens), "tokens": tokens}))
    except Refused as refused:
        await send_body(send, refused.status, refused.body)


async def count_message(sim: Simulator, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer ``POST /v1/messages/count_tokens``."""
    body = await read_body(receive) or b""
    try:
        count = read_count(sim, read_values(sim, scope, body, "CountTokensRequest"))
        await send_body(send, 200, encode({"input_tokens": count}))
    except Refused as refused:
        shaped = MESSAGES.refusals.shape(refused)
        await send_body(send, shaped.status, shaped.body)
