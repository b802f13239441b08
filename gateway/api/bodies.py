"""What admin requests carry; a field that is not listed here is an error, not ignored."""

from typing import Annotated, Any, Literal

import msgspec
from litestar.params import QueryParameter
from msgspec import Meta

Name = Annotated[str, Meta(min_length=1, max_length=256)]
GpuCount = Annotated[int, Meta(ge=1, le=64)]
Uuids = Annotated[list[Name], Meta(min_length=1, max_length=64)]
Precision = Literal["auto", "fp8", "nvfp4", "bf16", "mxfp4"]
ReplicaCount = Annotated[int, Meta(ge=0, le=1_000)]
_WEEK_S = 604_800

Grace = Annotated[float | None, QueryParameter(ge=0, le=_WEEK_S)]
"""Seconds that running requests may take to finish; None: the default."""
Tail = Annotated[int, QueryParameter(ge=0, le=10_000)]


class CreateReplica(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /admin/replicas``."""

    model: Name
    launcher: Name | None = None
    precision: Precision | None = None
    gpus: GpuCount | Uuids | None = None
    """How many, or their UUIDs."""
    overrides: dict[str, Any] = {}


class RegisterReplica(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /admin/replicas/register``."""

    url: Name
    model: Name | None = None
    """None: the name that the replica reports."""


class ScaleModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /admin/models/{name}/scale``."""

    replicas: ReplicaCount


class PlanModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /admin/plan``."""

    model: Name
    gpus: Name | GpuCount | None = None
    """How many of this host's, or what if these were here, such as ``2xH100-80G``."""
    precision: Precision = "auto"
    max_seq_len: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None
    overrides: dict[str, Any] = {}


class PatchModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``PATCH /admin/models/{name}``."""

    replicas: ReplicaCount | msgspec.UnsetType | None = msgspec.UNSET
    """How many are wanted; null: as the configuration says."""
