"""``/admin/operations``: what was asked for and takes time."""

from litestar import Controller, get
from litestar.params import FromPath, FromQuery
from litestar.response import Stream

from gateway.api.access import Role, needs
from gateway.api.admin_replicas import FleetHere
from gateway.api.event_stream import event_stream
from gateway.api.views import Items
from gateway.state.store import Operation

_VIEWER = needs(Role.VIEWER)


class Operations(Controller):
    """Operations, running and ended."""

    path = "/admin/operations"
    tags = ("operations",)

    @get(opt=_VIEWER)
    async def list_operations(self, fleet: FleetHere) -> Items[Operation]:
        """List the last 1,000, newest last."""
        return Items(fleet.operations())

    @get("/{operation_id:str}", opt=_VIEWER)
    async def get_operation(
        self, fleet: FleetHere, operation_id: FromPath[str], *, follow: FromQuery[bool] = False
    ) -> Operation | Stream:
        """Show one; with ``follow`` as server-sent events, one for each change to its end."""
        if follow:
            return event_stream(fleet.follow(operation_id))
        return fleet.operation(operation_id)
