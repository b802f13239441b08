"""All that the supervisor knows of its fleet: in memory, loaded from the store, saved to it.

Its parts change together between two awaits and are stored together by one `save`.
"""

from collections.abc import Callable

from gateway.fleet.journal import Journal
from gateway.fleet.models import Models
from gateway.fleet.operations import Operations
from gateway.fleet.registry import Registry
from gateway.fleet.settings import FleetSettings
from gateway.state.board import Board
from gateway.state.store import Store


class FleetState:
    """Replicas, models and operations, with the clock that dates them."""

    def __init__(
        self, settings: FleetSettings, store: Store, board: Board, clock: Callable[[], float]
    ) -> None:
        self.clock = clock
        self.store = store
        self.journal = Journal(store)
        self.registry = Registry(self.journal, board, clock)
        self.models = Models(settings, self.journal, clock)
        self.operations = Operations(self.registry, self.models, self.journal, clock)

    async def load(self) -> None:
        """Take up what the store kept, before anything is changed.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        self.registry.load(await self.store.replicas())
        await self.models.load(self.store)
        self.operations.load(await self.store.operations())

    async def save(self) -> None:
        """Store what changed.

        Raises:
            StoreUnavailable: nothing was written; the next call writes it.
        """
        await self.journal.save()
