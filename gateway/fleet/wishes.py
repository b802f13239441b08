"""What operators want of the fleet, turned into desired state and an operation.

Desired state and operation are stored together: a crash leaves both, and the reconciler goes
on, or neither, and the caller asks again.
"""

import hashlib

import msgspec

from backends.replica import ReplicaId
from backends.replica import ReplicaState as S
from gateway.fleet.addresses import replica_id_of
from gateway.fleet.counting import counted
from gateway.fleet.decisions import STATIC, Rules, unplanned
from gateway.fleet.errors import IdempotencyConflict, NotPossibleNow, ReplicaLimit
from gateway.fleet.planning import CreateRequest, Planning, remembered
from gateway.fleet.state import FleetState
from gateway.state.store import Claim, Desired, Operation, ReplicaRecord

_SETTLED = frozenset({S.BACKOFF, S.FAILED, S.STOPPED})
"""Nothing runs: a restart needs no drain."""
_MOVING = frozenset({S.PENDING, S.DRAINING, S.STOPPING, S.LOST})
"""On the way to a start, or to an end that a start follows if the replica is wanted."""


class Wishes:
    """Changes what is wanted; the reconciler does the rest."""

    def __init__(self, state: FleetState, planning: Planning, rules: Rules) -> None:
        self._state = state
        self._registry = state.registry
        self._models = state.models
        self._planning = planning
        self._rules = rules

    async def create(self, request: CreateRequest, key: str | None) -> Operation:
        """Want one more replica of a model."""
        operation_id = await self._claim(request, key)
        async with self._planning.turn():
            known = self._state.operations.get(operation_id)
            if known is not None:  # before planning: its own replica may hold the last GPU
                return known
            spec = await self._planning.plan(request)
            # from the operation: a retry after a crash meets the same replica
            replica_id = replica_id_of(spec.model, operation_id)
            if self._registry.get(replica_id) is None:
                wanted = self._one_more(spec.model)
                kept = remembered(request)
                self._registry.add(replica_id, spec, "asked for", request=kept)
                self._models.want(spec.model, wanted)
            self._state.operations.begin(
                operation_id, "create", replica_id=replica_id, model=spec.model
            )
            await self._state.save()
            return self._state.operations.find(operation_id)

    async def give_up(
        self, kind: str, replica_id: str, desired: Desired, grace_s: float | None
    ) -> Operation:
        """Want a replica less: ``desired`` says whether its record stays."""
        record = self._registry.find(replica_id)
        if record.desired is Desired.FORGET:
            desired = Desired.FORGET
        if counted(record):
            wanted = self._models.wanted(record.spec.model)
            self._models.want(record.spec.model, max(wanted - 1, 0))
        self._registry.update(
            record.id, desired=desired, drain_deadline=self._deadline(grace_s)
        )
        return await self.begin(kind, record.id, record.spec.model)

    async def restart(self, replica_id: str, grace_s: float | None) -> Operation:
        """Want a replica to run afresh."""
        record = self._registry.find(replica_id)
        must_be_ours(record)
        if not counted(record):
            self._want_again(record)
        if record.state in _SETTLED:
            spec, why = unplanned(record.spec), "restart was asked for"
            self._registry.move(record.id, S.PENDING, why, attempt=0, spec=spec)
        elif record.state not in _MOVING:
            deadline, why = self._deadline(grace_s), "restart was asked for"
            self._registry.move(record.id, S.DRAINING, why, drain_deadline=deadline)
        return await self.begin("restart", record.id, record.spec.model)

    async def scale(self, name: str, replicas: int) -> Operation:
        """Want this many replicas of a model."""
        settings = self._models.find(name)
        if not settings.min <= replicas <= settings.max:
            raise ReplicaLimit(
                f"{settings.name} may have {settings.min} to {settings.max} replicas,"
                f" not {replicas}"
            )
        self._models.want(settings.name, replicas, pinned=True)
        return await self.begin("scale", None, settings.name)

    async def begin(
        self, kind: str, replica_id: ReplicaId | None, model: str | None
    ) -> Operation:
        """Start an operation and store it with all that changed."""
        operation_id = self._new_id()
        self._state.operations.begin(operation_id, kind, replica_id=replica_id, model=model)
        await self._state.save()
        return self._state.operations.find(operation_id)

    async def _claim(self, request: CreateRequest, key: str | None) -> str:
        operation_id = self._new_id()
        if key is None:
            return operation_id
        body = msgspec.json.encode(request, order="sorted")
        fingerprint = hashlib.blake2b(body, digest_size=16).hexdigest()
        claim = Claim(key, fingerprint, operation_id, self._state.clock())
        held = await self._state.store.claim(claim)
        if held.fingerprint != fingerprint:
            raise IdempotencyConflict(key)
        return held.operation_id

    def _one_more(self, name: str) -> int:
        wanted, most = self._models.wanted(name) + 1, self._models.settings_of(name).max
        if wanted > most:
            raise ReplicaLimit(
                f"{name} may have {most} replicas and has them; raise its replicas.max"
            )
        return wanted

    def _want_again(self, record: ReplicaRecord) -> None:
        name = self._models.find(record.spec.model).name
        self._models.want(name, self._one_more(name))
        self._registry.update(record.id, desired=Desired.RUN, drain_deadline=None)

    def _deadline(self, grace_s: float | None) -> float:
        grace = self._rules.settings.drain_s if grace_s is None else grace_s
        return self._state.clock() + grace

    def _new_id(self) -> str:
        return f"op-{self._rules.rng.getrandbits(64):016x}"


def must_be_ours(record: ReplicaRecord) -> None:
    """Refuse what cannot be done to a replica that somebody else runs.

    Raises:
        NotPossibleNow: it is static.
    """
    if record.spec.launcher == STATIC:
        raise NotPossibleNow(
            f"replica {record.id} at {record.url} is run by somebody else:"
            " this gateway cannot start it or read its log"
        )
