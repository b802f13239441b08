"""The fleet as a worker sees it: one immutable value, replaced whole when anything changes.

A request takes one snapshot when it starts and never looks at a newer one half way.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from backends.replica import ReplicaId


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that each part of a request may take.

    The defaults are those of the configuration.
    """

    connect_s: float = 1.0
    write_s: float = 5.0
    first_token_s: float = 60.0
    first_token_per_1k_tokens_s: float = 0.5
    between_tokens_s: float = 30.0
    total_s: float = 600.0
    total_unstreamed_s: float = 290.0
    client_write_s: float = 30.0
    queue_s: float = 10.0
    header_commit_s: float = 10.0
    ping_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for."""

    body_bytes: int = 16_777_216
    depth: int = 64
    prompts: int = 1024
    n: int = 16
    default_max_tokens: int | None = None
    concurrency: int | None = None
    """Sequences at once on one replica; None: as many as its plan says (`ReplicaView`)."""
    queue: int = 256
    """Requests that may wait for a replica with room, in each worker."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often one request may be tried, and how much failing retries may add in all."""

    attempts: int = 2
    """Replicas that a request may be sent to, the first included."""
    budget_share: float = 0.2
    """Retries that may fail, as a share of requests (`core.retry`)."""
    budget_min: int = 3
    """Retries that may fail before any request has earned one."""
    quarantine_s: float = 600.0
    """How long a request that replicas die of is refused (`core.poison`); 0: never."""


@dataclass(frozen=True, slots=True)
class Ejection:
    """When a replica that fails is left out, and how it comes back (`core.outlier`)."""

    consecutive: int = 3
    """Failures in a row that eject."""
    failure_share: float = 0.5
    """Share of failed requests that ejects, over the last ``over_requests``."""
    over_requests: int = 20
    base_s: float = 5.0
    """The first ejection; each further one is twice as long, up to ``max_s``."""
    max_s: float = 300.0
    panic_share: float = 0.5
    """Where more of the replicas are ejected, ejections are ignored."""
    slow_start_s: float = 30.0
    """After this long a replica that came back gets all of its share."""


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """A replica that may get requests now."""

    id: ReplicaId
    host: str
    port: int
    source: str
    """The model name that it is sent."""
    dialect: str
    """Era of its wire contract: ``1.0``, ``1.1``, ``1.2`` or ``main``."""
    column: int
    """Its column on the in-flight board."""
    concurrency: int | None = None
    """Sequences that it may have at once; None: no limit is known."""
    ejections: int = 0
    """How often it was ejected so far: by this a return is told from an older snapshot."""


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model that clients may name."""

    name: str
    created_at: int
    """Unix seconds since when the gateway offers it; constant, unlike trtllm-serve's own."""
    aliases: tuple[str, ...] = ()
    replicas: tuple[ReplicaView, ...] = ()
    """READY ones."""
    ejected: tuple[ReplicaView, ...] = ()
    """Those whose probes are well and whose requests fail; asked only where most are so."""
    away: tuple[ReplicaId, ...] = ()
    """Replicas that get no requests now and may come back with what they have in memory."""
    loading: bool = False
    """No replica is ready, but one is on its way: `model_loading`, not `no_replica`."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
    retries: Retries = field(default_factory=Retries)
    ejection: Ejection = field(default_factory=Ejection)
    resume: bool = False
    """A stream whose replica is lost goes on at another one, where it can (`core.resume`)."""

    @property
    def can_serve(self) -> bool:
        """Whether any replica may get requests now."""
        return bool(self.replicas or (self.ejected and self.ejection.panic_share < 1))


@dataclass(frozen=True, slots=True)
class KeyView:
    """An API key as workers know it: never the secret."""

    id: str
    tenant: str
    models: tuple[str, ...] | None = None
    """Models it may use; None for all."""
    fields: frozenset[str] | None = frozenset()
    """Scoped request fields (`core.field_tables`) that it may send; None for all."""


@dataclass(frozen=True, slots=True)
class FleetSnapshot:
    """All that a worker needs to serve requests."""

    version: int
    models: Mapping[str, ModelView] = field(default_factory=dict)
    """By name; aliases are not keys, see `find`."""
    keys: Mapping[str, KeyView] | None = None
    """Hex digest of a secret -> key; None when no key is asked for."""
    key_pepper: bytes = b""
    """Key of the digest (BLAKE2b)."""
    allowed_hosts: tuple[str, ...] | None = None
    """Names that ``Host`` may carry; None for any.

    Set when the gateway runs without keys, on loopback only.
    """
    expose_replica: bool = True
    """Whether answers carry ``x-trtgw-replica``."""
    draining: bool = False

    def find(self, name: str) -> ModelView | None:
        """Return the model called ``name``, by its own name or an alias."""
        found = self.models.get(name)
        if found is not None:
            return found
        return next((m for m in self.models.values() if name in m.aliases), None)
