"""Requests about a stored response: which one, and which replica keeps it.

Rule: replicas keep responses in their own memory, so no other replica can stand in for the one
that answered; and an id is good only for the key that it was given to (`core.response_id`).
"""

import msgspec

from gateway.core.body import NO_BODY
from gateway.core.errors import NoReplica, ResponseNotFound
from gateway.core.operation import Operation
from gateway.core.request import InferenceRequest
from gateway.core.response_id import StoredResponse, decode
from gateway.core.snapshot import FleetSnapshot, ModelView, ReplicaView

_RETRY_AFTER_S = 2.0
_LOST = (
    "this response is lost: replicas keep responses in their memory, and the one that kept it "
    "is gone"
)
_NOT_HERE = (
    'no replica of model "{}" keeps this response: another model made it, or the replica that '
    "kept it in its memory is gone"
)


def following(request: InferenceRequest, *, key_id: str, pepper: bytes) -> InferenceRequest:
    """Return ``request`` with the response that it goes on from, if it names one.

    Raises:
        ResponseNotFound: the key ``key_id`` was given no such id.
    """
    name = request.operation.refers_by
    raw = request.fields.get(name)
    if raw is None:
        return request
    try:
        stored = decode(msgspec.json.decode(raw), key_id=key_id, pepper=pepper)
    except ResponseNotFound as unknown:
        raise ResponseNotFound(str(unknown), param=name) from None
    return msgspec.structs.replace(request, refers_to=stored)


def about(operation: Operation, model: str, stored: StoredResponse) -> InferenceRequest:
    """Return the request for a response of ``model`` by an operation that has no body."""
    return InferenceRequest(
        operation=operation,
        model=model,
        body=NO_BODY,
        fields={},
        unsent=frozenset(),
        stream=False,
        usage_wanted=False,
        usage_everywhere=False,
        n=1,
        best_of=1,
        prompts=1,
        max_tokens=None,
        cache_salt=None,
        refers_to=stored,
    )


def model_of(snapshot: FleetSnapshot, stored: StoredResponse) -> ModelView:
    """Return the model whose replica keeps ``stored``.

    Raises:
        ResponseNotFound: there is no such replica any more.
    """
    for model in snapshot.models.values():
        if stored.replica in model.away or _among(model, stored) is not None:
            return model
    raise ResponseNotFound(_LOST)


def keeper(request: InferenceRequest, stored: StoredResponse, model: ModelView) -> ReplicaView:
    """Return the replica that keeps ``stored``, to which ``request`` refers.

    Raises:
        NoReplica: it cannot be asked now, and may come back with all that it kept.
        ResponseNotFound: it is no replica of ``model``, or no longer.
    """
    replica = _among(model, stored)
    if replica is not None:
        return replica
    if stored.replica in model.away:
        raise NoReplica(
            "the replica that keeps this response does not answer now; try again soon",
            retry_after_s=_RETRY_AFTER_S,
        )
    raise ResponseNotFound(
        _NOT_HERE.format(model.name), param=request.operation.refers_by or None
    )


def _among(model: ModelView, stored: StoredResponse) -> ReplicaView | None:
    # An ejected one too: there is no other, and it may well give what it keeps.
    found = (r for r in (*model.replicas, *model.ejected) if r.id == stored.replica)
    return next(found, None)
