"""Probe a replica over its control routes: health, then its model, then what proves it works.

In this order, each only if the one before was well: the cheap ones tell most, and a generation
asked of a wrong model would prove nothing.
"""

from backends.trtllm.client import (
    NoSuchRoute,
    TimedOut,
    TrtllmClient,
    UnexpectedAnswer,
    Unreachable,
    control_client,
)
from gateway.fleet.health import ProbeOutcome, ProbeResult, names_model
from gateway.fleet.settings import ProbeSettings


class HttpProbe:
    """A `gateway.fleet.prober.Probe` over HTTP; all probes share its connections."""

    def __init__(self, settings: ProbeSettings | None = None) -> None:
        """Take the patience from ``settings``; `close` when the last probe has ended."""
        self._settings = settings or ProbeSettings()
        self._http = control_client()

    async def __call__(self, url: str, source: str, *, prove: bool) -> ProbeResult:
        """Ask the replica at ``url``; see `Probe`."""
        client = TrtllmClient(self._http, url, timeout_s=self._settings.timeout_s)
        try:
            return await self._ask(client, source, prove=prove)
        except TimedOut as late:
            return ProbeResult(ProbeOutcome.TIMEOUT, str(late))
        except Unreachable as gone:
            return ProbeResult(ProbeOutcome.REFUSED, str(gone))
        except UnexpectedAnswer as strange:
            return ProbeResult(ProbeOutcome.UNWELL, str(strange))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _ask(self, client: TrtllmClient, source: str, *, prove: bool) -> ProbeResult:
        health = await client.health()
        if not health.ok:
            detail = f"/health answers {health.status}: {health.message}"
            return ProbeResult(ProbeOutcome.UNWELL, detail)
        models = await client.models()
        if not models:
            return ProbeResult(ProbeOutcome.UNWELL, "/v1/models names no model")
        if source and not any(names_model(reported, source) for reported in models):
            detail = f"it serves {', '.join(models)}, not {source}"
            return ProbeResult(ProbeOutcome.WRONG_MODEL, detail, models[0])
        if not prove:
            return ProbeResult(ProbeOutcome.OK, model=models[0])
        return await self._prove(client, models[0])

    async def _prove(self, client: TrtllmClient, model: str) -> ProbeResult:
        era = await client.era()
        try:
            await self._work(client, model)
        except (TimedOut, UnexpectedAnswer) as problem:
            detail = f"it answers, but does not generate: {problem}"
            return ProbeResult(ProbeOutcome.NO_GENERATION, detail, model, era)
        return ProbeResult(ProbeOutcome.OK, model=model, dialect=era)

    async def _work(self, client: TrtllmClient, model: str) -> None:
        try:
            await client.generate(model, timeout_s=self._settings.generate_s)
        except NoSuchRoute as generates_nothing:
            try:
                await client.embed(model, timeout_s=self._settings.generate_s)
            except NoSuchRoute:
                raise generates_nothing from None
