"""What the configuration says of models: every key that a model may have.

`ModelKeys` holds what ``defaults`` may set too. A key left out of a model falls back to
``defaults`` and only then to the value written here, so no key may be filled in by a validator.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from gateway.core.hosts import replica_url

_WEEK_S = 604_800.0

Seconds = Annotated[float, Field(ge=0, le=_WEEK_S)]
PositiveSeconds = Annotated[float, Field(gt=0, le=_WEEK_S)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
PositiveCount = Annotated[int, Field(ge=1, le=1_000_000)]
ReplicaCount = Annotated[int, Field(ge=0, le=1_000)]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$")]
ReplicaUrl = Annotated[str, AfterValidator(replica_url)]


class Section(BaseModel):
    """A mapping of the file; unknown keys are errors, and values never change once read."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_from_a_truth_value(cls, value: object, info: ValidationInfo) -> object:
        """Refuse ``true`` where a number is meant: pydantic would read it as 1."""
        if isinstance(value, bool) and info.field_name is not None:
            wanted = cls.model_fields[info.field_name].annotation
            if wanted is not bool:
                raise ValueError(
                    f"must not be {str(value).lower()} (YAML reads on, off, yes and no as true"
                    " and false: put them in quotes, or write another word)"
                )
        return value


class TimeoutKeys(Section):
    """Seconds that each part of a request may take."""

    connect_s: PositiveSeconds = 1.0
    """To connect to a replica."""
    write_s: PositiveSeconds = 5.0
    """How long a replica may leave a request unread."""
    first_token_s: PositiveSeconds = 60.0
    """From the request's end to the first token."""
    first_token_per_1k_tokens_s: Seconds = 0.5
    """Added to `first_token_s` for each 1,000 input tokens."""
    between_tokens_s: PositiveSeconds = 30.0
    """Between two tokens of a stream."""
    total_s: PositiveSeconds = 600.0
    """A whole streamed request."""
    total_unstreamed_s: PositiveSeconds = 290.0
    """A whole request that is not streamed."""
    client_write_s: PositiveSeconds = 30.0
    """How long a client may leave its stream unread."""
    queue_s: PositiveSeconds = 10.0
    """Waiting for a replica with room."""
    header_commit_s: PositiveSeconds = 10.0
    """After this long without a token, a stream's headers are sent all the same."""
    ping_s: PositiveSeconds = 10.0
    """Between comment lines that keep a silent stream open."""


class RetryKeys(Section):
    """When a failed request is sent to another replica."""

    attempts: Annotated[int, Field(ge=1, le=10)] = 2
    """Replicas that one request may be sent to, the first included."""
    budget_share: Share = 0.2
    """Retries that may fail, as a share of requests; one that is answered costs nothing."""
    budget_min: Count = 3
    """Retries that may fail at the start, before requests have earned any."""
    quarantine_s: Seconds = 600.0
    """How long a request is refused of which three replicas died in a row; 0: never."""


class EjectKeys(Section):
    """When a replica that fails requests is left out for a while."""

    consecutive: PositiveCount = 3
    """Failures in a row that eject; those that it reports itself count three fifths."""
    failure_share: Share = 0.5
    """Share of failed requests that ejects, over `over_requests`."""
    over_requests: PositiveCount = 20
    """Requests that `failure_share` looks back on."""
    base_s: PositiveSeconds = 5.0
    """First ejection; each further one takes longer."""
    max_s: PositiveSeconds = 300.0
    """Longest ejection."""
    panic_share: Share = 0.5
    """When a greater share of a model's replicas is ejected, ejections are ignored."""
    slow_start_s: Seconds = 30.0
    """A replica that comes back gets its full share after this long."""


class LimitKeys(Section):
    """What one request may ask for, and how many may run or wait."""

    concurrency: Literal["auto"] | PositiveCount = "auto"
    """Requests at once on one replica; auto: as many as it says it can."""
    queue: Count = 256
    """Requests that may wait for a replica with room."""
    body_bytes: Annotated[int, Field(ge=1_024, le=1_073_741_824)] = 16_777_216
    """Size of a request body."""
    depth: Annotated[int, Field(ge=4, le=512)] = 64
    """Nesting of a request body."""
    prompts: PositiveCount = 1_024
    """Prompts in one completions request."""
    n: PositiveCount = 16
    """Choices for each prompt."""
    default_max_tokens: PositiveCount | None = None
    """Given to requests that name no limit of their own."""


class AutoscaleKeys(Section):
    """When the number of replicas follows the load."""

    on: Literal["ttft", "concurrency", "kv"] = "ttft"
    """The signal."""
    target: Annotated[float, Field(gt=0)] | None = None
    """Its target: milliseconds, requests per replica, or percent; null: never scaled."""
    idle_s: PositiveSeconds = 1_800.0
    """Without requests for this long, the model goes down to its `min`."""
    cold_wait_s: PositiveSeconds = 300.0
    """How long a request may wait for a sleeping model."""


class SloKeys(Section):
    """What a class of requests is promised."""

    class_: Annotated[str, Field(alias="class", min_length=1, max_length=64)] = "default"
    ttft_ms: Annotated[float, Field(gt=0)] = 2_000.0
    ttft_scale_tokens: PositiveCount | None = 8_192
    """The TTFT limit grows with the input beyond this many tokens; null: it is fixed."""
    itl_ms: Annotated[float, Field(gt=0)] = 50.0
    objective: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """Share of requests that must keep the promise."""


class ScorerKeys(Section):
    """One scorer of a routing profile and what it counts for."""

    name: str
    weight: Annotated[float, Field(ge=0)] = 1.0


class RoutingKeys(Section):
    """How a replica is picked: a policy's name, or filters, scorers and a picker."""

    policy: str | None = None
    """Name of a policy; null: the default one, least requests in flight."""
    hold: bool = True
    """Whether requests wait in the gateway rather than in a replica's own queue."""
    filters: tuple[str, ...] = ()
    scorers: tuple[ScorerKeys, ...] = ()
    picker: str | None = None


class ReplicaCountKeys(Section):
    """How many replicas there may be."""

    min: ReplicaCount = 0
    max: ReplicaCount = 4
    initial: ReplicaCount = 1
    """Wanted at the start, until the admin API says otherwise."""


class SplitKeys(Section):
    """Where a share of a model's requests goes."""

    to: ModelName
    weight: Share


class ShadowKeys(Section):
    """Which model gets a copy of a share of the requests."""

    to: ModelName
    share: Share


class SimKeys(Section):
    """How simulated replicas behave (launcher ``sim``)."""

    profile: str | None = None
    """``<model>-<precision>-<n>x<gpu>``; null: the simulator's default."""
    dialect: Literal["1.0", "1.1", "1.2", "main"] = "1.2"
    """Release of ``trtllm-serve`` that is imitated."""
    seed: Count = 0
    time_scale: Annotated[float, Field(gt=0, le=1_000)] = 1.0
    """Factor on every duration of the simulated engine: 0.1 is ten times as fast."""
    start_s: Seconds = 0.0
    """Time to load."""
    max_batch_size: PositiveCount | None = None
    faults: tuple[str, ...] = ()
    """``KIND[:key=value,...]``, as for ``trtllm-gateway sim --fault``."""


class ModelKeys(Section):
    """What ``defaults`` and every model may set."""

    precision: Literal["auto", "fp8", "nvfp4", "bf16", "mxfp4"] = "auto"
    replicas: ReplicaCountKeys = ReplicaCountKeys()
    launcher: Literal["process", "docker", "kubernetes", "sim"] = "process"
    """What starts replicas of this model."""
    timeouts: TimeoutKeys = TimeoutKeys()
    retry: RetryKeys = RetryKeys()
    eject: EjectKeys = EjectKeys()
    limits: LimitKeys = LimitKeys()
    autoscale: AutoscaleKeys = AutoscaleKeys()
    slo: tuple[SloKeys, ...] = (SloKeys(),)
    routing: RoutingKeys = RoutingKeys()
    overrides: dict[str, Any] = {}
    """Options of ``trtllm-serve`` laid over the recipe's."""
    split: tuple[SplitKeys, ...] = ()
    """Other models that get a share of this model's requests."""
    shadow: tuple[ShadowKeys, ...] = ()
    fallback: tuple[ModelName, ...] = ()
    """Models that answer when this one cannot."""
    resume: Literal["text"] | None = None
    """text: a completion whose replica is lost goes on at another one."""
    sim: SimKeys = SimKeys()


class Model(ModelKeys):
    """A model that clients may name."""

    name: ModelName
    """What clients send."""
    aliases: tuple[ModelName, ...] = ()
    """Further names for it."""
    source: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """A family of the recipe catalogue, or a checkpoint; null: the same as `name`."""
    static: tuple[ReplicaUrl, ...] = ()
    """URLs of replicas that somebody else runs."""
