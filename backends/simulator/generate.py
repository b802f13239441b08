"""The two generation endpoints: from the request's bytes to its answer, refusal or fault.

The head of a streamed answer goes out before the first token, so whatever the engine objects to
afterwards can only break the stream.
"""

import logging

from backends.simulator.answer import Answer
from backends.simulator.connection import connection_of
from backends.simulator.errors import Refused, bad_request, check_body
from backends.simulator.faults import Scope
from backends.simulator.head_faults import fail_before_head
from backends.simulator.orders import NoTokensWanted, Order, chat_order, completion_order
from backends.simulator.replies import Receive, Send, read_body, send_body
from backends.simulator.replies import Scope as HttpScope
from backends.simulator.requestlog import RequestEntry
from backends.simulator.schema import request_model
from backends.simulator.simulator import Simulator

log = logging.getLogger("backends.simulator")
ZERO_TOKENS_SURVIVED = 1


async def generate(
    sim: Simulator, scope: HttpScope, receive: Receive, send: Send, *, chat: bool
) -> None:
    """Answer one request of ``/v1/completions`` or ``/v1/chat/completions``."""
    entry = sim.requests.open(scope["path"], sim.clock())
    body = await read_body(receive)
    if body is None:
        entry.closed_at = sim.clock()
        return
    fault = sim.faults.for_request()
    connection = connection_of(scope)
    if fault is not None:
        entry.fault = fault.kind
        if fault.scope is Scope.HEAD:
            await fail_before_head(fault, sim, connection, send)
            if connection.lost:
                entry.closed_at = sim.clock()
            else:
                entry.finished_at = sim.clock()
            return
    try:
        order = _read_order(sim, body, scope, chat=chat)
        answer = Answer(sim, order, entry, connection)
        answer.submit()
    except Refused as refused:
        await _refuse(sim, entry, send, refused)
        return
    except Exception as wrong:
        # As the original: whatever is raised before streaming is a 400.
        log.warning("refused", exc_info=wrong)
        await _refuse(sim, entry, send, bad_request(str(wrong)))
        return
    entry.status = 200
    await answer.reply(send, fault)


def _read_order(sim: Simulator, body: bytes, scope: HttpScope, *, chat: bool) -> Order:
    name = "ChatCompletionRequest" if chat else "CompletionRequest"
    model = request_model(name, sim.dialect.era)
    headers = dict(scope["headers"])
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    is_json = not kind or kind == b"application/json" or kind.endswith(b"+json")
    values = check_body(body, model, sim.dialect, scope["path"], is_json=is_json)
    read = chat_order if chat else completion_order
    return read(values, sim.settings, sim.rng)


async def _refuse(sim: Simulator, entry: RequestEntry, send: Send, refused: Refused) -> None:
    entry.status = refused.status
    if isinstance(refused, NoTokensWanted) and not sim.dialect.survives_zero_max_tokens:
        sim.refused_tokens += 1
        if sim.refused_tokens > ZERO_TOKENS_SURVIVED:
            log.error("assertion failed: max_tokens; the server ends")
            sim.crash()
    await send_body(send, refused.status, refused.body)
    entry.finished_at = sim.clock()
