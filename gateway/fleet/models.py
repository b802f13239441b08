"""Which models there are and how many replicas of each are wanted.

The configuration's count holds until the admin API sets another; that one outlives a restart,
until the model's block in the configuration changes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from backends.replica import ReplicaState as S
from gateway.core.snapshot import Limits, ModelView, ReplicaView
from gateway.fleet.addresses import host_and_port
from gateway.fleet.decisions import STATIC
from gateway.fleet.errors import UnknownModel
from gateway.fleet.journal import Journal
from gateway.fleet.settings import FleetSettings, ModelSettings
from gateway.state.store import Desired, ModelDesired, ReplicaRecord, Store

ON_ITS_WAY = frozenset({S.PENDING, S.STARTING, S.LOADING, S.BACKOFF})
"""States from which a replica becomes READY by itself."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model and how many of its replicas are wanted and ready."""

    name: str
    source: str
    aliases: tuple[str, ...]
    launcher: str
    precision: str
    desired: int
    """Replicas that the gateway should run; static ones are not counted."""
    replicas: int
    """Replicas there are, static ones included, whatever their state."""
    ready: int
    loading: int
    """Replicas on their way to READY."""
    min: int
    max: int
    pinned: bool
    """Scaled by hand: the count stays until it is unpinned."""


class Models:
    """Configured models, and those that registered replicas brought."""

    def __init__(
        self, settings: FleetSettings, journal: Journal, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._configured = {model.name: model for model in settings.models}
        self._journal = journal
        self._clock = clock
        self._desired: dict[str, ModelDesired] = {}
        self._created_at: dict[str, int] = {}

    async def load(self, store: Store) -> None:
        """Take up what the store kept; an edited block wins over a count set before."""
        self._desired = {desired.name: desired for desired in await store.models()}
        for model in self._settings.models:
            note, now = f"block of {model.name}", model.fingerprint()
            before = await store.note(note)
            if before not in (None, now):
                self.unpin(model.name)
                await self._journal.save()  # before the note: a crash must not lose the edit
            await store.note(note, now)
            note = f"created_at of {model.name}"
            created = await store.note(note) or await store.note(note, str(int(self._clock())))
            self._created_at[model.name] = int(created or 0)

    def configured(self) -> tuple[str, ...]:
        """Return the names of the configured models, in the configuration's order."""
        return tuple(self._configured)

    def find(self, name: str) -> ModelSettings:
        """Return the settings of a configured model, by its name or an alias.

        Raises:
            UnknownModel: none is called that.
        """
        for model in self._settings.models:
            if name == model.name or name in model.aliases:
                return model
        raise UnknownModel(name, self.configured())

    def settings_of(self, name: str) -> ModelSettings:
        """Return a model's settings; those of a discovered one are the defaults."""
        found = self._configured.get(name)
        return found or replace(
            self._settings.defaults, name=name, source=name, launcher=STATIC, initial=0
        )

    def wanted(self, name: str) -> int:
        """Return how many replicas the gateway should run of a model; 0 of an unknown one."""
        if name not in self._configured:
            return 0
        set_by_hand = self._desired.get(name)
        return set_by_hand.replicas if set_by_hand else self._configured[name].initial

    def want(self, name: str, replicas: int, *, pinned: bool | None = None) -> None:
        """Want this many; ``pinned`` None leaves that as it is."""
        before = self._desired.get(name)
        if pinned is None:
            pinned = before is not None and before.pinned
        self._desired[name] = ModelDesired(name, replicas, pinned)
        self._journal.model(name, self._desired[name])

    def unpin(self, name: str) -> None:
        """Let the configuration's count hold again."""
        if name in self._desired:
            del self._desired[name]
            self._journal.model(name, None)

    def names(self, records: Iterable[ReplicaRecord]) -> list[str]:
        """Return the names of all models: configured ones, then those that records brought."""
        brought = (r.spec.model for r in records if r.spec.model and r.desired is Desired.RUN)
        return list(dict.fromkeys((*self._configured, *brought)))

    def status(self, name: str, records: Iterable[ReplicaRecord]) -> ModelStatus:
        """Return what the admin API shows of a model."""
        settings = self.settings_of(name)
        mine = [r for r in records if r.spec.model == name]
        desired = self._desired.get(name)
        return ModelStatus(
            name=name,
            source=settings.source,
            aliases=settings.aliases,
            launcher=settings.launcher,
            precision=settings.precision,
            desired=self.wanted(name),
            replicas=len(mine),
            ready=sum(r.state is S.READY for r in mine),
            loading=sum(_is_coming(r) for r in mine),
            min=settings.min,
            max=settings.max,
            pinned=desired is not None and desired.pinned,
        )

    def view(self, name: str, records: Iterable[ReplicaRecord]) -> ModelView:
        """Return what workers know of a model: only what may get requests now."""
        settings = self.settings_of(name)
        mine = [r for r in records if r.spec.model == name]
        oldest = min((r.created_at for r in mine), default=0.0)
        return ModelView(
            name=name,
            created_at=self._created_at.get(name, int(oldest)),
            aliases=settings.aliases,
            replicas=tuple(_view(r, settings.limits) for r in mine if r.state is S.READY),
            ejected=tuple(_view(r, settings.limits) for r in mine if r.state is S.EJECTED),
            away=tuple(r.id for r in mine if r.state is S.UNHEALTHY),
            loading=any(_is_coming(r) for r in mine),
            timeouts=settings.timeouts,
            limits=settings.limits,
            retries=settings.retries,
            ejection=settings.ejection,
            resume=settings.resume,
        )


def _is_coming(record: ReplicaRecord) -> bool:
    return record.state in ON_ITS_WAY and record.desired is Desired.RUN


def _view(record: ReplicaRecord, limits: Limits) -> ReplicaView:
    host, port = host_and_port(record.url or "")
    return ReplicaView(
        id=record.id,
        host=host,
        port=port,
        source=record.spec.source,
        dialect=record.dialect or "",
        column=record.column or 0,
        concurrency=limits.concurrency or record.spec.concurrency,
        ejections=record.ejections,
    )
