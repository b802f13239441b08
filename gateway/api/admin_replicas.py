"""``/admin/replicas``: see replicas, start one, drain, restart, stop and adopt them."""

import re
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, SkipValidation
from litestar.response import Stream

from backends.launcher import LogLine
from gateway.api.access import Role, needs
from gateway.api.bodies import CreateReplica, Grace, RegisterReplica, Tail
from gateway.api.event_stream import event_stream
from gateway.api.problems import BadRequest
from gateway.api.views import (
    Items,
    ReplicaDetail,
    ReplicaSummary,
    replica_detail,
    replica_summary,
)
from gateway.fleet.fleet import Fleet
from gateway.fleet.planning import CreateRequest
from gateway.state.store import Operation

FleetHere = NamedDependency[SkipValidation[Fleet]]
"""The fleet, as `create_admin_app` was given it."""

_OPERATION_PATH = "/admin/operations/{}"
_VIEWER, _OPERATOR = needs(Role.VIEWER), needs(Role.OPERATOR)
_KEY = re.compile(r"[!-~]{1,255}")
IdempotencyKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key")]


def accepted(operation: Operation) -> Response[Operation]:
    """Answer 202 with the operation and where to follow it."""
    location = _OPERATION_PATH.format(operation.id)
    return Response(operation, status_code=202, headers={"location": location})


class Replicas(Controller):
    """Replicas that the gateway runs or knows."""

    path = "/admin/replicas"
    tags = ("replicas",)

    @get(opt=_VIEWER)
    async def list_replicas(self, fleet: FleetHere) -> Items[ReplicaSummary]:
        """List all replicas, newest last."""
        return Items([replica_summary(fleet, record) for record in fleet.replicas()])

    @get("/{replica_id:str}", opt=_VIEWER)
    async def get_replica(self, fleet: FleetHere, replica_id: FromPath[str]) -> ReplicaDetail:
        """Show one replica with its plan and its history."""
        return replica_detail(fleet, fleet.replica(replica_id))

    @post(opt=_OPERATOR, status_code=202)
    async def create_replica(
        self,
        fleet: FleetHere,
        data: JSONBody[CreateReplica],
        idempotency_key: IdempotencyKey = None,
        *,
        dry_run: FromQuery[bool] = False,
    ) -> Response[Any]:
        """Start one more replica of a model; ``dry_run``: show what would start.

        The same request with the same ``Idempotency-Key`` within 24 hours starts nothing new.
        """
        request = CreateRequest(
            model=data.model,
            launcher=data.launcher,
            precision=data.precision,
            gpus=tuple(data.gpus) if isinstance(data.gpus, list) else data.gpus,
            overrides=data.overrides,
        )
        if idempotency_key is not None and _KEY.fullmatch(idempotency_key) is None:
            raise BadRequest("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
        if dry_run:
            spec = asdict(await fleet.plan(request))
            del spec["env"]
            return Response(spec, status_code=200)
        return accepted(await fleet.create(request, idempotency_key))

    @post("/{replica_id:str}/drain", opt=_OPERATOR, status_code=202)
    async def drain_replica(
        self, fleet: FleetHere, replica_id: FromPath[str], grace_s: Grace = None
    ) -> Response[Operation]:
        """Want one replica less: this one ends its running requests and stops."""
        return accepted(await fleet.drain(replica_id, grace_s))

    @post("/{replica_id:str}/restart", opt=_OPERATOR, status_code=202)
    async def restart_replica(
        self, fleet: FleetHere, replica_id: FromPath[str], grace_s: Grace = None
    ) -> Response[Operation]:
        """Drain, stop and start again."""
        return accepted(await fleet.restart(replica_id, grace_s))

    @delete("/{replica_id:str}", opt=_OPERATOR, status_code=202)
    async def delete_replica(
        self, fleet: FleetHere, replica_id: FromPath[str], grace_s: Grace = None
    ) -> Response[Operation]:
        """Drain, stop and forget."""
        return accepted(await fleet.delete(replica_id, grace_s))

    @get("/{replica_id:str}/logs", opt=_VIEWER)
    async def replica_logs(
        self,
        fleet: FleetHere,
        replica_id: FromPath[str],
        tail: Tail = 100,
        *,
        follow: FromQuery[bool] = False,
    ) -> Items[LogLine] | Stream:
        """Show its last lines; with ``follow`` as server-sent events, then each new one."""
        lines = fleet.logs(replica_id, tail=tail, follow=follow)
        return event_stream(lines) if follow else Items(await _all(lines))


class RegisteredReplicas(Controller):
    """Replicas that somebody else runs."""

    path = "/admin/replicas/register"
    tags = ("replicas",)

    @post(opt=_OPERATOR, status_code=202)
    async def register_replica(
        self, fleet: FleetHere, data: JSONBody[RegisterReplica]
    ) -> Response[Operation]:
        """Serve a running replica; without ``model``, under the name that it reports."""
        return accepted(await fleet.register(data.url, data.model))

    @delete("/{replica_id:str}", opt=_OPERATOR, status_code=202)
    async def unregister_replica(
        self, fleet: FleetHere, replica_id: FromPath[str]
    ) -> Response[Operation]:
        """Drain a registered replica and forget it; it runs on."""
        return accepted(await fleet.unregister(replica_id))


async def _all(lines: AsyncIterator[LogLine]) -> list[LogLine]:
    return [line async for line in lines]
