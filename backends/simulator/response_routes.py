"""The routes to stored responses: whoever knows an id may fetch and delete."""

from backends.simulator.errors import Refused, flat_error
from backends.simulator.frames import encode
from backends.simulator.replies import Receive, Scope, Send, send_body
from backends.simulator.simulator import Simulator

PREFIX = "resp_"
_KIND = "InvalidRequestError"


def check_id(response_id: str) -> None:
    """Check what an id looks like.

    Raises:
        Refused: it is none.
    """
    if not response_id.startswith(PREFIX):
        message = (
            f"Invalid 'response_id': '{response_id}'. Expected an ID that begins with 'resp'."
        )
        raise Refused(400, flat_error(message, kind=_KIND))


def not_found(response_id: str) -> Refused:
    """Refuse an id that is not, or no longer, known."""
    message = f"Response with id '{response_id}' not found."
    return Refused(404, flat_error(message, kind=_KIND, code=404))


async def get(sim: Simulator, scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``GET /v1/responses/{id}``."""
    await _answer(sim, scope, send, delete=False)


async def delete(sim: Simulator, scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``DELETE /v1/responses/{id}``."""
    await _answer(sim, scope, send, delete=True)


async def _answer(sim: Simulator, scope: Scope, send: Send, *, delete: bool) -> None:
    response_id = scope["path"].rsplit("/", 1)[1]
    try:
        body = _deleted(sim, response_id) if delete else _fetched(sim, response_id)
    except Refused as refused:
        await send_body(send, refused.status, refused.body)
        return
    await send_body(send, 200, body)


def _check(sim: Simulator, response_id: str) -> None:
    if not sim.responses.enabled:
        raise Refused(400, flat_error("Response storage is disabled", kind=_KIND))
    check_id(response_id)


def _fetched(sim: Simulator, response_id: str) -> bytes:
    _check(sim, response_id)
    stored = sim.responses.get(response_id)
    if stored is None:
        raise not_found(response_id)
    return stored.body


def _deleted(sim: Simulator, response_id: str) -> bytes:
    _check(sim, response_id)
    if not sim.responses.delete(response_id):
        raise not_found(response_id)
    return encode({"id": response_id, "object": "response", "deleted": True})
