"""The configuration: one YAML file under an environment that wins, checked whole before use.

Rule: nothing else in the gateway reads a file or a variable to learn how it should behave, and
every stage gets its own settings object (`gateway.config.settings`), never this one.
"""

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import override

from gateway.config.models import (
    Count,
    Model,
    ModelKeys,
    ModelName,
    PositiveSeconds,
    ReplicaUrl,
    Seconds,
    Section,
    Share,
)

ENV_PREFIX = "TRTGW_"
ENV_DELIMITER = "__"

MAX_WORKERS = 32
"""The in-flight board has 64 rows, and during a restart old and new workers need one each."""

Port = Annotated[int, Field(ge=0, le=65_535)]
Host = Annotated[str, Field(pattern=r"^[0-9A-Za-z.:_-]{1,253}$")]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
Home = Annotated[Path, AfterValidator(Path.expanduser)]


def _url_of(*schemes: str) -> AfterValidator:
    known = " or ".join(f"{scheme}://" for scheme in schemes)

    def check(text: str) -> str:
        try:
            scheme = urlsplit(text).scheme
        except ValueError as error:
            raise ValueError(f"is not a URL: {error}") from None
        if scheme not in schemes or len(text) <= len(scheme) + len("://"):
            raise ValueError(f"must be a URL that begins with {known}")
        return text

    return AfterValidator(check)


class Server(Section):
    """The data port, and how the gateway ends."""

    host: Host = "127.0.0.1"
    port: Port = 8080
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=MAX_WORKERS)] = "auto"
    """Worker processes; auto: one per core."""
    header_s: PositiveSeconds = 5.0
    """How long a client may take to send its request's head; on the admin port too."""
    body_s: PositiveSeconds = 30.0
    """How long it may take for the body; 1 s more for each 16 KiB of it that came."""
    drain_delay_s: Seconds = 5.0
    """At the end: from not ready to accepting no more, so that load balancers notice."""
    grace_s: Seconds = 600.0
    """At the end: how long running requests may take to finish."""
    replicas_on_exit: Literal["keep", "stop"] = "keep"
    """Whether spawned replicas run on, for the next start to adopt."""

    def worker_count(self, cores: int) -> int:
        """Return how many workers to run on a host of ``cores``."""
        return min(max(cores, 1), MAX_WORKERS) if self.workers == "auto" else self.workers


class AdminToken(Section):
    """A token for the admin port."""

    name: Label
    role: Literal["metrics", "viewer", "operator", "admin"]
    """metrics only scrapes, viewer reads, operator also acts, admin may do everything."""
    token_file: Home


class Admin(Section):
    """The admin port."""

    host: Host = "127.0.0.1"
    port: Port = 8081
    auth: Literal["tokens", "none"] | None = None
    """Whether it asks for a token; null: tokens if any are listed, else none."""
    tokens: tuple[AdminToken, ...] = ()

    @property
    def asks_for_token(self) -> bool:
        """Whether requests need a token."""
        return self.auth == "tokens" if self.auth is not None else bool(self.tokens)


class KeyLimits(Section):
    """What one API key may use; null: no limit."""

    rpm: Count | None = None
    """Requests per minute."""
    tpm: Count | None = None
    """Tokens per minute."""
    streams: Count | None = None
    """Requests at once."""


class ApiKey(Section):
    """An API key for the data port."""

    name: Label
    tenant: Label = "default"
    key_file: Home
    models: tuple[ModelName, ...] | None = None
    """Models it may use; null: all."""
    limits: KeyLimits = KeyLimits()


class Auth(Section):
    """API keys."""

    mode: Literal["keys", "none"] | None = None
    """Whether the data port asks for a key; null: keys if any are listed, else none."""
    keys: tuple[ApiKey, ...] = ()

    @property
    def asks_for_key(self) -> bool:
        """Whether requests need a key."""
        return self.mode == "keys" if self.mode is not None else bool(self.keys)


class State(Section):
    """What outlives a restart."""

    dir: Home = Path("~/.local/state/trtllm-gateway").expanduser()
    """Where the store, the pepper and the replicas' logs are."""
    redis_url: Annotated[str, _url_of("redis", "rediss", "unix")] | None = None
    """Shares state among several instances."""


class Log(Section):
    """What is logged."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    prefix_chain: bool = False
    """Whether each request's line carries digests of its prompt's prefix, for ``replay``."""


class Telemetry(Section):
    """Traces and logs."""

    otlp_endpoint: Annotated[str, _url_of("http", "https")] | None = None
    """Where traces go (OTLP over HTTP); null: nowhere."""
    sample_share: Share = 0.05
    trust_incoming: bool = False
    """Whether a client's ``traceparent`` becomes the parent of the gateway's spans."""
    log: Log = Log()


class Secrets(Section):
    """Secrets that replicas need."""

    hf_token_file: Home | None = None
    """Holds the Hugging Face token for gated checkpoints."""


class Docker(Section):
    """How the ``docker`` launcher starts replicas."""

    image: Annotated[str, Field(min_length=1)] = "nvcr.io/nvidia/tensorrt-llm/release:1.2.0"
    mounts: tuple[str, ...] = ()


class Config(BaseSettings):
    """All of it; made by `gateway.config.loading.load`, which merges the sources."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
        use_attribute_docstrings=True,
    )

    server: Server = Server()
    admin: Admin = Admin()
    auth: Auth = Auth()
    state: State = State()
    telemetry: Telemetry = Telemetry()
    secrets: Secrets = Secrets()
    docker: Docker = Docker()
    defaults: ModelKeys = ModelKeys()
    models: tuple[Model, ...] = ()
    static: tuple[ReplicaUrl, ...] = ()
    """URLs of running replicas whose models are asked of them, as with ``serve --replica``."""

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what `load` passes: it has merged file, environment and flags."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    def resolved_models(self) -> list[Model]:
        """Return the models with ``defaults`` filled in where a model is silent.

        A model with static replicas starts none of its own unless its block says how many.
        """
        base = self.defaults.model_dump(exclude_unset=True, by_alias=True)
        models = []
        for model in self.models:
            own = model.model_dump(exclude_unset=True, by_alias=True)
            if model.static and "replicas" not in own:
                own["replicas"] = {"min": 0, "initial": 0}
            models.append(Model.model_validate(overlay(base, own)))
        return models


def overlay(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Lay mappings over each other, key by key; lists and plain values are replaced whole."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = overlay(below, value)
        else:
            merged[key] = value
    return merged
