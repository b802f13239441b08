"""What each stage is told: the configuration turned into the stages' own settings objects."""

from dataclasses import fields
from typing import Any
from urllib.parse import urlsplit

from backends.simulated import SimulatorOptions
from gateway.config.models import Model, Section
from gateway.config.schema import Config
from gateway.core.hosts import allowed_hosts
from gateway.core.snapshot import Ejection, Limits, Retries, Timeouts
from gateway.fleet.settings import FleetSettings, ModelSettings

_MASK = "***"


def fleet_settings(config: Config) -> FleetSettings:
    """Return what the fleet is told."""
    return FleetSettings(
        models=tuple(map(model_settings, config.resolved_models())), discover=config.static
    )


def model_settings(model: Model) -> ModelSettings:
    """Return what the fleet is told of one model of `Config.resolved_models`."""
    return ModelSettings(
        name=model.name,
        source=model.source or model.name,
        aliases=model.aliases,
        precision=model.precision,
        launcher=model.launcher,
        initial=model.replicas.initial,
        min=model.replicas.min,
        max=model.replicas.max,
        static=model.static,
        static_source=model.source,
        timeouts=timeouts(model),
        limits=limits(model),
        retries=Retries(**_shared(model.retry, Retries)),
        ejection=Ejection(**_shared(model.eject, Ejection)),
        resume=model.resume == "text",
        overrides=dict(model.overrides),
        sim=SimulatorOptions(**_shared(model.sim, SimulatorOptions)),
    )


def timeouts(model: Model) -> Timeouts:
    """Return what the request path is told of time."""
    return Timeouts(**_shared(model.timeouts, Timeouts))


def limits(model: Model) -> Limits:
    """Return what the request path is told of sizes."""
    values = _shared(model.limits, Limits)
    if values["concurrency"] == "auto":
        values["concurrency"] = None
    return Limits(**values)


def data_port_hosts(config: Config) -> tuple[str, ...] | None:
    """Return the names that ``Host`` may carry on the data port; None for any."""
    return None if config.auth.asks_for_key else allowed_hosts(config.server.host)


def admin_port_hosts(config: Config) -> tuple[str, ...] | None:
    """Return the names that ``Host`` may carry on the admin port; None for any."""
    return None if config.admin.asks_for_token else allowed_hosts(config.admin.host)


def masked(config: Config) -> dict[str, Any]:
    """Return the effective configuration as JSON values, without passwords in URLs.

    Keys and tokens are in files, whose names may be seen.
    """
    shown = config.model_dump(mode="json", by_alias=True)
    shown["models"] = [
        model.model_dump(mode="json", by_alias=True) for model in config.resolved_models()
    ]
    result: dict[str, Any] = _mask(shown)
    return result


def _shared(section: Section, settings: type[Any]) -> dict[str, Any]:
    """Take the values that ``settings`` has fields for; both sides use the same names."""
    return {f.name: getattr(section, f.name) for f in fields(settings)}


def _mask(value: Any) -> Any:  # noqa: ANN401 - JSON values
    if isinstance(value, dict):
        return {key: _mask(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_mask(inner) for inner in value]
    return _without_password(value) if isinstance(value, str) else value


def _without_password(text: str) -> str:
    if "://" not in text or "@" not in text:
        return text
    scheme = urlsplit(text).scheme
    return f"{scheme}://{_MASK}@{text.rsplit('@', 1)[1]}"
