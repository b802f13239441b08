"""The generation endpoints: from the request's bytes to its answer, refusal or fault.

The head of a streamed answer goes out before the first token, so whatever the engine objects to
afterwards can only break the stream.
"""

import logging

from backends.simulator.answer import Answer
from backends.simulator.arrival import arrive, read_values
from backends.simulator.endpoint import Endpoint
from backends.simulator.errors import Refused, bad_request
from backends.simulator.orders import NoTokensWanted
from backends.simulator.refusals import Refusals
from backends.simulator.replies import Receive, Send, send_body
from backends.simulator.replies import Scope as HttpScope
from backends.simulator.requestlog import RequestEntry
from backends.simulator.simulator import Simulator

log = logging.getLogger("backends.simulator")
ZERO_TOKENS_SURVIVED = 1


async def generate(
    sim: Simulator, scope: HttpScope, receive: Receive, send: Send, *, endpoint: Endpoint
) -> None:
    """Answer one request of a generation endpoint."""
    arrival = await arrive(sim, scope, receive, send, endpoint.refusals)
    if arrival is None:
        return
    refusals, entry = endpoint.refusals, arrival.entry
    try:
        values = read_values(sim, scope, arrival.body, endpoint.schema)
        reading = endpoint.read(sim, values)
        answer = Answer(sim, reading, refusals, arrival)
        answer.submit()
    except Refused as refused:
        await _refuse(sim, entry, send, refused, refusals)
        return
    except Exception as wrong:
        # As the original: whatever is raised before streaming is a 400.
        log.warning("refused", exc_info=wrong)
        await _refuse(sim, entry, send, bad_request(str(wrong)), refusals)
        return
    entry.status = 200
    await answer.reply(send)


async def _refuse(
    sim: Simulator, entry: RequestEntry, send: Send, refused: Refused, refusals: Refusals
) -> None:
    if isinstance(refused, NoTokensWanted) and not sim.dialect.survives_zero_max_tokens:
        sim.refused_tokens += 1
        if sim.refused_tokens > ZERO_TOKENS_SURVIVED:
            log.error("assertion failed: max_tokens; the server ends")
            sim.crash()
    shaped = refusals.shape(refused)
    entry.status = shaped.status
    await send_body(send, shaped.status, shaped.body)
    entry.finished_at = sim.clock()
