"""What is particular to one generation endpoint, beside how it spells its answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from backends.simulator.orders import Order
from backends.simulator.refusals import PLAIN, Refusals
from backends.simulator.simulator import Simulator
from backends.simulator.spelling import MakeSpelling

Values = Mapping[str, Any]
Reading = tuple[Order, MakeSpelling]
"""What to generate, and how to spell it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint."""

    schema: str
    """Name of the body's model, for `schema.request_model`."""
    read: Callable[[Simulator, Values], Reading]
    """Reads a checked body; raises `Refused`."""
    refusals: Refusals = PLAIN
