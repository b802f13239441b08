"""Probe a replica over its control routes: health, then its model, then what proves it works.

In this order, each only if the one before was well: the cheap ones tell most, and a generation
asked of a wrong model would prove nothing.
"""

from collections.abc import Coroutine

from backends.trtllm.client import (
    NoSuchRoute,
    TimedOut,
    TrtllmClient,
    UnexpectedAnswer,
    Unreachable,
    control_client,
)
from gateway.core.drift import TOKENS, GoldenAnswer
from gateway.fleet.golden import NotComparable
from gateway.fleet.health import ProbeOutcome, ProbeResult, names_model
from gateway.fleet.settings import ProbeSettings

_TIMES = 3
"""One that fails only some requests is hardly to pass by chance."""


class HttpProbe:
    """A `gateway.fleet.prober.Probe` over HTTP; all probes share its connections."""

    def __init__(self, settings: ProbeSettings | None = None) -> None:
        """Take the patience from ``settings``; `close` when the last probe has ended."""
        self._settings = settings or ProbeSettings()
        self._http = control_client()

    async def __call__(
        self, url: str, source: str, *, prove: bool, generate_s: float | None = None
    ) -> ProbeResult:
        """Ask the replica at ``url``; see `Probe`."""
        limit_s = self._settings.generate_s if generate_s is None else generate_s
        return await self._told(self._ask(self._client(url), source, limit_s, prove=prove))

    async def works(
        self, url: str, source: str, *, generate_s: float, thoroughly: bool
    ) -> ProbeResult:
        """Have the replica at ``url`` generate; see `Probe`."""
        asked = self._have_work(self._client(url), source, generate_s, thoroughly=thoroughly)
        return await self._told(asked)

    async def golden(self, url: str, source: str, prompt: str) -> GoldenAnswer:
        """Ask the replica at ``url`` a golden prompt; see `Probe`."""
        limit_s = self._settings.generate_s
        try:
            tokens, logprobs = await self._client(url).greedy(
                source, prompt, TOKENS, timeout_s=limit_s
            )
        except NoSuchRoute:
            raise NotComparable("it completes no text") from None
        except (Unreachable, UnexpectedAnswer) as problem:
            raise NotComparable(f"it gives no log probabilities: {problem}") from None
        return GoldenAnswer(tokens[:TOKENS], logprobs[:TOKENS])

    async def _told(self, asked: Coroutine[None, None, ProbeResult]) -> ProbeResult:
        try:
            return await asked
        except TimedOut as late:
            return ProbeResult(ProbeOutcome.TIMEOUT, str(late))
        except Unreachable as gone:
            return ProbeResult(ProbeOutcome.REFUSED, str(gone))
        except UnexpectedAnswer as strange:
            return ProbeResult(ProbeOutcome.UNWELL, str(strange))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _client(self, url: str) -> TrtllmClient:
        return TrtllmClient(self._http, url, timeout_s=self._settings.timeout_s)

    async def _ask(
        self, client: TrtllmClient, source: str, generate_s: float, *, prove: bool
    ) -> ProbeResult:
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
        return await self._prove(client, models[0], generate_s)

    async def _prove(self, client: TrtllmClient, model: str, generate_s: float) -> ProbeResult:
        era = await client.era()
        try:
            await self._work(client, model, generate_s)
        except (TimedOut, UnexpectedAnswer) as problem:
            detail = f"it answers, but does not generate: {problem}"
            return ProbeResult(ProbeOutcome.NO_GENERATION, detail, model, era)
        return ProbeResult(ProbeOutcome.OK, model=model, dialect=era)

    async def _have_work(
        self, client: TrtllmClient, source: str, generate_s: float, *, thoroughly: bool
    ) -> ProbeResult:
        try:
            for _ in range(_TIMES if thoroughly else 1):
                chats = await self._chats(client, generate_s)
                if thoroughly or not chats:
                    await self._work(client, source, generate_s)
        except (TimedOut, UnexpectedAnswer) as problem:
            return ProbeResult(ProbeOutcome.NO_GENERATION, str(problem))
        return ProbeResult(ProbeOutcome.OK)

    async def _chats(self, client: TrtllmClient, generate_s: float) -> bool:
        """Say whether it has the route that makes it chat, after it did."""
        try:
            await client.health_generate(timeout_s=generate_s)
        except NoSuchRoute:
            return False
        return True

    async def _work(self, client: TrtllmClient, model: str, generate_s: float) -> None:
        try:
            await client.generate(model, timeout_s=generate_s)
        except NoSuchRoute as generates_nothing:
            try:
                await client.embed(model, timeout_s=generate_s)
            except NoSuchRoute:
                raise generates_nothing from None
