"""``/admin/models``: which models there are, and how many replicas each should have.

A model's name may hold one slash, as those of Hugging Face do, so paths have one or two parts.
"""

import msgspec
from litestar import Controller, Response, delete, get, patch, post
from litestar.params import FromPath, JSONBody

from gateway.api.access import Role, needs
from gateway.api.admin_replicas import FleetHere, accepted
from gateway.api.bodies import PatchModel, ScaleModel
from gateway.api.views import Items, ModelView, model_view
from gateway.fleet.errors import UnknownModel
from gateway.fleet.fleet import Fleet
from gateway.fleet.models import ModelStatus
from gateway.state.store import Operation

_VIEWER, _OPERATOR = needs(Role.VIEWER), needs(Role.OPERATOR)
_MODEL = ["/{name:str}", "/{owner:str}/{name:str}"]
_SCALE = ["/{name:str}/scale", "/{owner:str}/{name:str}/scale"]


class Models(Controller):
    """Models that clients may name."""

    path = "/admin/models"
    tags = ("models",)

    @get(opt=_VIEWER)
    async def list_models(self, fleet: FleetHere) -> Items[ModelView]:
        """List the models with their status."""
        return Items([model_view(fleet, status) for status in fleet.models()])

    @get(_MODEL, opt=_VIEWER)
    async def get_model(
        self, fleet: FleetHere, name: FromPath[str], owner: FromPath[str | None] = None
    ) -> ModelView:
        """Show one model."""
        return model_view(fleet, _find(fleet, _full(owner, name)))

    @patch(_MODEL, opt=_OPERATOR)
    async def patch_model(
        self,
        fleet: FleetHere,
        name: FromPath[str],
        data: JSONBody[PatchModel],
        owner: FromPath[str | None] = None,
    ) -> ModelView:
        """Change what is wanted of a model; a field that is left out stays as it is."""
        model = _full(owner, name)
        if data.replicas is None:
            await fleet.unpin(model)
        elif data.replicas is not msgspec.UNSET:
            await fleet.scale(model, data.replicas)
        return model_view(fleet, _find(fleet, model))

    @post(_SCALE, opt=_OPERATOR, status_code=202)
    async def scale_model(
        self,
        fleet: FleetHere,
        name: FromPath[str],
        data: JSONBody[ScaleModel],
        owner: FromPath[str | None] = None,
    ) -> Response[Operation]:
        """Want this many replicas, until the scale is deleted."""
        return accepted(await fleet.scale(_full(owner, name), data.replicas))

    @delete(_SCALE, opt=_OPERATOR, status_code=200)
    async def unpin_model(
        self, fleet: FleetHere, name: FromPath[str], owner: FromPath[str | None] = None
    ) -> ModelView:
        """Forget a manual scale: the configuration's count holds again."""
        return model_view(fleet, await fleet.unpin(_full(owner, name)))


def _full(owner: str | None, name: str) -> str:
    return name if owner is None else f"{owner}/{name}"


def _find(fleet: Fleet, name: str) -> ModelStatus:
    models = {status.name: status for status in fleet.models()}
    if name not in models:
        raise UnknownModel(name, tuple(models))
    return models[name]
