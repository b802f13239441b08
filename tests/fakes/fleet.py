"""A fleet without replicas: it remembers what it was asked for and refuses what it should."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from backends.launcher import LogLine
from backends.plan import Refusal
from backends.replica import ReplicaSpec, ReplicaState
from gateway.core.hosts import replica_url
from gateway.fleet.drifting import Drift
from gateway.fleet.errors import (
    BadUrl,
    IdempotencyConflict,
    NotPossibleNow,
    PlanRefused,
    ReplicaLimit,
    UnknownLauncher,
    UnknownModel,
    UnknownOperation,
    UnknownReplica,
)
from gateway.fleet.models import ModelStatus
from gateway.fleet.planning import CreateRequest
from gateway.state.store import Desired, HistoryEntry, Operation, OperationState, ReplicaRecord

LAUNCHERS = ("process", "sim")


def replica(replica_id, model="llama-3.3-70b", state=ReplicaState.READY, launcher="sim"):
    """A replica's record, as the store would have it."""
    spec = ReplicaSpec(
        model=model, source=f"nvidia/{model}", launcher=launcher,
        argv=("python", "-m", "backends.simulator"), env={"HF_TOKEN": "canary-secret"},
        concurrency=64, plan={"recipe": "simulated"},
    )  # fmt: skip
    return ReplicaRecord(
        id=replica_id, spec=spec, desired=Desired.RUN, state=state, created_at=1000.0,
        url="http://127.0.0.1:18000", handle={"pid": 4242}, dialect="1.2",
        history=(HistoryEntry(1000.0, ReplicaState.PENDING, "asked for"),),
    )  # fmt: skip


def model(name, **changes):
    """A model's status."""
    status = ModelStatus(
        name=name, source=f"nvidia/{name}", aliases=(), launcher="sim", precision="auto",
        desired=1, replicas=1, ready=1, loading=0, min=0, max=4, pinned=False,
    )  # fmt: skip
    return replace(status, **changes)


class FakeFleet:
    """Does what `gateway.fleet.fleet.Fleet` offers, on dictionaries."""

    def __init__(self, *records, models=("llama-3.3-70b", "llama-3.1-8b")):
        self.records = {record.id: record for record in records}
        self.statuses = {name: model(name) for name in models}
        self.known = {}
        self.claims = {}
        self.drifts = {}
        self.calls = []
        self.log_lines = []
        self.logs_closed = 0
        self.broken = None
        """An exception that every call raises instead of working."""

    def _operate(self, kind, *details, replica_id=None, model=None):
        self.calls.append((kind, *details))
        operation = Operation(
            id=f"op-{len(self.known) + 1}", kind=kind, state=OperationState.RUNNING,
            created_at=1.0, updated_at=1.0, replica_id=replica_id, model=model, progress=0.0,
        )  # fmt: skip
        self.known[operation.id] = [operation]
        return operation

    def _status(self, name):
        if name not in self.statuses:
            raise UnknownModel(name, tuple(self.statuses))
        return self.statuses[name]

    def replicas(self):
        if self.broken:
            raise self.broken
        return list(self.records.values())

    def replica(self, replica_id):
        if replica_id not in self.records:
            raise UnknownReplica(replica_id)
        return self.records[replica_id]

    def in_flight(self, replica_id):
        self.replica(replica_id)
        return 3

    def drift(self, replica_id):
        self.replica(replica_id)
        return self.drifts.get(replica_id, Drift())

    async def plan(self, request: CreateRequest):
        status = self._status(request.model)
        if request.launcher is not None and request.launcher not in LAUNCHERS:
            raise UnknownLauncher(request.launcher, LAUNCHERS)
        if request.precision == "nvfp4":
            raise PlanRefused(Refusal("bad_precision", "no NVFP4 here", "fp8 fits on 2"))
        return replica("planned", status.name).spec

    async def create(self, request, idempotency_key=None):
        await self.plan(request)
        if idempotency_key in self.claims:
            claimed, operation = self.claims[idempotency_key]
            if claimed != request:
                raise IdempotencyConflict(idempotency_key)
            return operation
        if self.statuses[request.model].replicas >= self.statuses[request.model].max:
            raise ReplicaLimit(f"model {request.model!r} may have 4 replicas at most")
        operation = self._operate("create", request, model=request.model)
        if idempotency_key is not None:
            self.claims[idempotency_key] = (request, operation)
        return operation

    async def drain(self, replica_id, grace_s=None):
        self.replica(replica_id)
        return self._operate("drain", replica_id, grace_s, replica_id=replica_id)

    async def delete(self, replica_id, grace_s=None):
        self.replica(replica_id)
        return self._operate("delete", replica_id, grace_s, replica_id=replica_id)

    async def restart(self, replica_id, grace_s=None):
        if self.replica(replica_id).spec.launcher == "static":
            raise NotPossibleNow("somebody else runs this replica")
        return self._operate("restart", replica_id, grace_s, replica_id=replica_id)

    async def register(self, url, model=None):
        try:
            replica_url(url)
        except ValueError as error:
            raise BadUrl(f"{url!r} {error}") from None
        if model is not None:
            self._status(model)
        return self._operate("register", url, model)

    async def unregister(self, replica_id):
        if self.replica(replica_id).spec.launcher != "static":
            raise NotPossibleNow("the gateway itself runs this replica")
        return self._operate("unregister", replica_id, replica_id=replica_id)

    def models(self):
        return list(self.statuses.values())

    async def scale(self, model, replicas):
        status = self._status(model)
        if not status.min <= replicas <= status.max:
            raise ReplicaLimit(f"{model!r} may have {status.min} to {status.max} replicas")
        self.statuses[model] = replace(status, desired=replicas, pinned=True)
        return self._operate("scale", model, replicas, model=model)

    async def unpin(self, model):
        self.statuses[model] = replace(self._status(model), pinned=False, desired=1)
        return self.statuses[model]

    def operations(self):
        return [changes[-1] for changes in self.known.values()]

    def operation(self, operation_id):
        if operation_id not in self.known:
            raise UnknownOperation(operation_id)
        return self.known[operation_id][-1]

    def follow(self, operation_id) -> AsyncIterator[Operation]:
        self.operation(operation_id)
        return self._follow(operation_id)

    async def _follow(self, operation_id):
        for operation in self.known[operation_id]:
            yield operation

    def logs(self, replica_id, *, tail, follow) -> AsyncIterator[LogLine]:
        if self.replica(replica_id).spec.launcher == "static":
            raise NotPossibleNow("somebody else runs this replica; its log is with them")
        return self._logs(tail, follow)

    async def _logs(self, tail, follow):
        try:
            for line in self.log_lines[-tail:] if tail else ():
                if isinstance(line, Exception):
                    raise line
                yield line
            if follow:
                await asyncio.Event().wait()
        finally:
            self.logs_closed += 1
