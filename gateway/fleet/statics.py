"""Replicas that somebody else runs: named in the configuration, or registered by the admin API.

They are probed and served like all others; the gateway never starts or stops them.
"""

from dataclasses import replace

from backends.replica import ReplicaSpec
from gateway.core.hosts import replica_url
from gateway.fleet.addresses import static_id_of
from gateway.fleet.decisions import STATIC
from gateway.fleet.errors import BadUrl, UnknownModel
from gateway.fleet.models import Models
from gateway.fleet.registry import Registry
from gateway.fleet.settings import FleetSettings, ModelSettings
from gateway.state.store import Desired, ReplicaRecord

_CONFIGURED = {"origin": "configured"}
_REGISTERED = {"origin": "registered"}


class Statics:
    """Puts static replicas into the registry and takes them out."""

    def __init__(self, registry: Registry, models: Models, settings: FleetSettings) -> None:
        self._registry = registry
        self._models = models
        self._settings = settings

    def load(self) -> None:
        """Bring the records to the configuration: new ones in, those no longer named out."""
        named: dict[str, ModelSettings | None] = dict.fromkeys(
            map(replica_url, self._settings.discover)
        )
        for model in self._settings.models:
            named.update((replica_url(url), model) for url in model.static)
        for record in self._registry.records():
            configured = record.spec.launcher == STATIC and record.spec.plan == _CONFIGURED
            if configured and record.spec.url not in named:
                self._registry.update(record.id, desired=Desired.FORGET)
        for url, settings in named.items():
            record = self._put(url, settings, _CONFIGURED)
            if record.desired is Desired.FORGET:
                self._registry.update(record.id, desired=Desired.RUN)

    def register(self, url: str, model: str | None) -> ReplicaRecord:
        """Want the replica at ``url``, under ``model`` or what it reports.

        Raises:
            BadUrl, UnknownModel, ReplicaLimit: nothing was changed.
        """
        settings = None if model is None else self._models.find(model)
        try:
            address = replica_url(url)
        except ValueError as problem:
            raise BadUrl(f"url {problem}") from problem
        record = self._put(address, settings, _REGISTERED)
        return self._registry.update(record.id, desired=Desired.RUN)

    def discovered(self, record: ReplicaRecord, reported: str) -> None:
        """Ask the replica for what it reports; without a model, serve it as that."""
        name = record.spec.model or self._name_of(reported)
        spec = replace(record.spec, model=name, source=reported)
        self._registry.update(record.id, spec=spec)

    def _name_of(self, reported: str) -> str:
        try:
            return self._models.find(reported).name
        except UnknownModel:
            return reported

    def _put(
        self, url: str, settings: ModelSettings | None, origin: dict[str, str]
    ) -> ReplicaRecord:
        replica_id = static_id_of(url)
        known = self._registry.get(replica_id)
        if known is None:
            name, source = (settings.name, settings.static_source) if settings else ("", None)
            spec = ReplicaSpec(name, source or "", STATIC, url=url, plan=origin)
            return self._registry.add(replica_id, spec, "somebody else runs it", url=url)
        if settings is None:
            return known
        source = settings.static_source or known.spec.source
        spec = replace(known.spec, model=settings.name, source=source)
        return self._registry.update(replica_id, spec=spec)
