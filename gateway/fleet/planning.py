"""How a wanted replica becomes a specification: the planner that the fleet is given.

The fleet knows only this type, so that a plan can come from recipes and GPUs, or from a test.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from backends.replica import ReplicaSpec
from gateway.fleet.settings import ModelSettings


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """``POST /admin/replicas``: one more replica; None leaves it to the model's settings."""

    model: str
    launcher: str | None = None
    precision: str | None = None
    gpus: int | tuple[str, ...] | None = None
    """How many GPUs, or their UUIDs."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Options laid over the recipe's and the model's."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a model cannot run as asked."""

    reason: str
    nearest: str | None = None
    """What would work, for people; None where nothing would."""

    def describe(self) -> str:
        """Return both in one sentence."""
        return f"{self.reason}; {self.nearest}" if self.nearest else self.reason


Planner = Callable[[CreateRequest, ModelSettings, frozenset[str]], ReplicaSpec | Refusal]
"""Plans a replica; the last argument holds the UUIDs of GPUs that other replicas own."""
