"""One chaos run: every call is made, every view judged."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tests.chaos import raw, sdk
from tests.chaos.calls import CLIENTS, RAW, Call
from tests.chaos.checker import Ended, Seen, Verdict, judge
from tests.chaos.faults import Schedule
from tests.chaos.ledger import Closed, Strike, sound_replica
from tests.chaos.stand import Stand

LIMIT_S = 60.0
"""After this a client gives its answer up for hung: longer than all patience of the gateway."""
_NOTHING = "none"
_REST_S = 30.0


@dataclass(frozen=True, slots=True)
class Judged:
    """One call, all that is known of it, and the verdict."""

    call: Call
    seen: Seen
    struck: tuple[Strike, ...]
    windows: tuple[Closed, ...]
    sound: bool
    """A replica was left that could have answered."""
    verdict: Verdict

    @property
    def fault(self) -> str:
        """The first fault that it met."""
        if self.struck:
            return self.struck[0].kind
        # Nobody saw a call that was refused: only the gateway counts it.
        refused = any(window.kind in {"refused", "down"} for window in self.windows)
        return "refused" if refused and (self.seen.attempts or 0) > 1 else _NOTHING

    def __str__(self) -> str:
        """Return all of it in one line, for whoever looks for the cause."""
        call, seen = self.call, self.seen
        kind = ("chat" if call.chat else "completions") + (", streamed" if call.stream else "")
        met = [f"{s.kind} at {s.replica} after {s.at_byte} bytes" for s in self.struck]
        felt = [f"{w.kind} of {w.replica}" for w in self.windows]
        return (
            f"call {call.number} ({call.client}, {kind}, {call.tokens} tokens): "
            f"{self.verdict}; met {met or _NOTHING}, while {felt or _NOTHING}; "
            f"status {seen.status}, {seen.attempts} attempts, "
            f"{len(seen.text)} of {len(call.truth)} characters, "
            f"error {seen.error}, {seen.note}"
        )


async def run(
    stand: Stand,
    calls: Sequence[Call],
    *,
    concurrency: int,
    schedule: Schedule | None = None,
    limit_s: float = LIMIT_S,
) -> list[Judged]:
    """Make ``calls``, about ``concurrency`` at a time, and judge what their clients saw.

    With a ``schedule`` its windows are opened too.
    """
    by_client: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_client[call.client].append(call)
    async with _windows(stand, schedule):
        views = await asyncio.gather(
            *(
                _asked(client, stand.url, by_client[client], concurrency, limit_s)
                for client in CLIENTS
            )
        )
    async with asyncio.timeout(_REST_S):
        await stand.at_rest()
    seen = {view.number: view for each in views for view in each}
    return _judged(stand, calls, seen)


@asynccontextmanager
async def _windows(stand: Stand, schedule: Schedule | None) -> AsyncIterator[None]:
    if schedule is None:
        yield
        return
    opening = asyncio.ensure_future(stand.open_windows(schedule))
    try:
        yield
    finally:
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await opening


async def _asked(
    client: str, url: str, calls: Sequence[Call], concurrency: int, limit_s: float
) -> list[Seen]:
    if client != RAW:
        some = max(1, concurrency // 4)
        return await sdk.ask_all(client, url, calls, concurrency=some, limit_s=limit_s)
    room = asyncio.Semaphore(max(1, concurrency // 2))

    async def ask(call: Call) -> Seen:
        async with room:
            return await raw.ask(url, call, limit_s=limit_s)

    return await asyncio.gather(*map(ask, calls))


def _judged(stand: Stand, calls: Sequence[Call], seen: dict[int, Seen]) -> list[Judged]:
    struck_by_call = stand.ledger.by_call()
    judged = []
    for call in calls:
        view = seen[call.number]
        struck = struck_by_call.get(call.number, [])
        windows = stand.ledger.windows_between(view.began_at, view.ended_at)
        others: list[str] = []
        if view.ended is not Ended.HUNG and not call.truth.startswith(view.text):
            others = [other.truth for other in calls if other is not call]
        sound = sound_replica(stand.replicas, struck, windows)
        verdict = judge(call, view, struck, windows, sound=sound, others=others)
        judged.append(Judged(call, view, tuple(struck), tuple(windows), sound, verdict))
    return judged
