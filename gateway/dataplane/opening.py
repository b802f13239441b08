"""From what a client sent to a checked request: by its body, or by the id in its path."""

from urllib.parse import parse_qs

import msgspec

from gateway.core.answers import Naming
from gateway.core.body import cut, cut_steps
from gateway.core.dialect import with_max_tokens
from gateway.core.errors import RequestTooLarge, ResponseNotFound, UnsupportedByReplica
from gateway.core.operation import Operation
from gateway.core.outcome import RequestFacts
from gateway.core.request import InferenceRequest, model_name, parse_steps
from gateway.core.response_id import decode
from gateway.core.resume import Progress, resumable
from gateway.core.salting import cache_salt
from gateway.core.snapshot import FleetSnapshot, KeyView
from gateway.core.steps import finish
from gateway.core.stored import about, following, model_of
from gateway.core.windows import WINDOW_BYTES
from gateway.dataplane import gate
from gateway.dataplane.client import Client
from gateway.dataplane.exchange import Exchange
from gateway.dataplane.handler import DataPlane
from gateway.dataplane.pacing import paced

_TRUE = frozenset({"true", "1"})


class _Known:
    """What every request with one snapshot needs to know of it."""

    def __init__(self, snapshot: FleetSnapshot) -> None:
        self.snapshot = snapshot
        self.most = gate.ceiling(snapshot)
        self._salts: dict[str, str | None] = {}

    def salt(self, tenant: str) -> str | None:
        """See `cache_salt`."""
        if tenant not in self._salts:
            self._salts[tenant] = cache_salt(self.snapshot, tenant)
        return self._salts[tenant]


class BodyOpening:
    """Reads requests of an operation that is asked for by a JSON body."""

    def __init__(self, operation: Operation, plane: DataPlane) -> None:
        """Read requests of ``operation``."""
        self._operation = operation
        self._plane = plane
        self._known: _Known | None = None

    async def __call__(
        self, client: Client, snapshot: FleetSnapshot, key: KeyView, facts: RequestFacts
    ) -> Exchange:
        """See `Opening`."""
        known = self._know(snapshot)
        body = await client.body(
            declared=gate.declared_bytes(client.asked), limit=known.most.body_bytes
        )
        facts.body_read_at = self._plane.clock()
        short = len(body) <= WINDOW_BYTES  # such a one is not worth a pause
        depth = known.most.depth
        sent = cut(body, depth=depth) if short else await paced(cut_steps(body, depth=depth))
        model = gate.find_model(snapshot, model_name(sent.fields), key)
        facts.model = model.name
        if len(body) > model.limits.body_bytes:
            raise RequestTooLarge(
                "the request body is over this model's limit of "
                f"{model.limits.body_bytes} bytes"
            )
        salt = known.salt(key.tenant)
        steps = parse_steps(
            self._operation, sent, model.limits, scopes=key.fields, cache_salt=salt
        )
        request = finish(steps) if short else await paced(steps)
        if model.limits.default_max_tokens is not None:
            request = with_max_tokens(request, model.limits.default_max_tokens)
        request = following(request, key_id=key.id, pepper=snapshot.key_pepper)
        progress = Progress() if model.resume and resumable(request) else None
        if progress is not None:
            request = msgspec.structs.replace(request, counted=True)
        facts.stream, facts.choices = request.stream, request.choices
        naming = _naming(self._plane, request, snapshot, key)
        shown = snapshot.expose_replica
        return Exchange(request, model, client, facts, naming, None, shown, progress=progress)

    def _know(self, snapshot: FleetSnapshot) -> _Known:
        known = self._known
        if known is None or known.snapshot is not snapshot:
            known = self._known = _Known(snapshot)
        return known


class StoredOpening:
    """Reads one request about a stored response."""

    def __init__(
        self, operation: Operation, plane: DataPlane, response_id: str, query: bytes
    ) -> None:
        """Read a request of ``operation`` for ``response_id``, with its query string."""
        self._operation = operation
        self._plane = plane
        self._response_id = response_id
        self._query = query

    async def __call__(
        self, client: Client, snapshot: FleetSnapshot, key: KeyView, facts: RequestFacts
    ) -> Exchange:
        """See `Opening`."""
        facts.body_read_at = self._plane.clock()
        self._check_query()
        stored = decode(self._response_id, key_id=key.id, pepper=snapshot.key_pepper)
        model = model_of(snapshot, stored)
        if not gate.may_use(key, model):
            raise ResponseNotFound("this key may not use the model of this response any more")
        facts.model = model.name
        request = about(self._operation, model.name, stored)
        naming = _naming(self._plane, request, snapshot, key)
        return Exchange(request, model, client, facts, naming, None, snapshot.expose_replica)

    def _check_query(self) -> None:
        wanted = parse_qs(self._query.decode("latin-1")).get("stream", [""])
        if wanted[-1].lower() in _TRUE:
            raise UnsupportedByReplica(
                "a stored response comes whole: replicas do not stream it again",
                param="stream",
            )


def _naming(
    plane: DataPlane, request: InferenceRequest, snapshot: FleetSnapshot, key: KeyView
) -> Naming:
    return Naming(
        model=request.model,
        answer_id=request.operation.id_prefix + plane.new_id(),
        created=int(plane.wall_clock()),
        key_id=key.id,
        pepper=snapshot.key_pepper,
    )
