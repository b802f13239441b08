"""The ways in which a simulated server may fail, as one table, and which request meets which.

A fault of a request is drawn once, when the request arrives, from a seeded generator; so the
same requests in the same order meet the same faults.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from random import Random

import msgspec


class Scope(StrEnum):
    """What a fault happens to."""

    START = "start"
    """The process, before it serves."""
    HEAD = "head"
    """One generation request, before its status line."""
    STREAM = "stream"
    """One answer, after ``after_tokens`` tokens were sent."""
    ENGINE = "engine"
    """The engine, as long as it is armed; `FaultKind.effect` says to which requests."""
    PROBE = "probe"
    """Other routes."""
    EXIT = "exit"
    """The process, when it ends."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One way to fail."""

    name: str
    scope: Scope
    effect: str


KINDS: Mapping[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind(
            "load_delay", Scope.START, "loads for `s` seconds longer, refusing connections"
        ),
        FaultKind("no_gpu", Scope.START, "exits at once: no GPU devices found"),
        FaultKind("hang", Scope.HEAD, "accepts a request and never answers"),
        FaultKind("eof", Scope.HEAD, "closes the connection before the status line"),
        FaultKind("http_error", Scope.HEAD, "answers `code` (500)"),
        FaultKind("internal_error", Scope.HEAD, "answers 400 for a fault of its own"),
        FaultKind("refuse", Scope.HEAD, "answers 400 as if the request were wrong"),
        FaultKind("null", Scope.HEAD, "answers 200 `null`, or its like, and shuts down"),
        FaultKind("stall", Scope.STREAM, "sends nothing more, for `s` seconds or for ever"),
        FaultKind(
            "cut", Scope.STREAM, "resets the connection, at `at_byte` of the body if given"
        ),
        FaultKind("engine_error", Scope.STREAM, "ends as an error inside the engine does"),
        FaultKind(
            "end_early",
            Scope.STREAM,
            "ends cleanly: no finish_reason, no [DONE], no last event",
        ),
        FaultKind("half_event", Scope.STREAM, "ends cleanly in the middle of an event"),
        FaultKind("garbage", Scope.STREAM, "sends one event that is not JSON and goes on"),
        FaultKind("crash", Scope.STREAM, "the process aborts (SIGABRT)"),
        FaultKind(
            "double_done",
            Scope.STREAM,
            "says twice that it is whole ([DONE], the last typed event)",
        ),
        FaultKind("no_done", Scope.STREAM, "does not say that it is whole"),
        FaultKind("empty_chunks", Scope.STREAM, "sends an empty chunk before each chunk"),
        FaultKind("changed_token", Scope.STREAM, "falsifies the text of one token"),
        FaultKind("slow_chunks", Scope.STREAM, "waits `s` (0.1) seconds before each chunk"),
        FaultKind("long_line", Scope.STREAM, "sends one line of `at_byte` (4 MiB) bytes"),
        FaultKind(
            "fatal", Scope.STREAM, "the engine dies: silence, and /health is 503 for ever"
        ),
        FaultKind(
            "fatal_exit", Scope.STREAM, "the engine dies: one 503, then the server exits"
        ),
        FaultKind(
            "frozen", Scope.ENGINE, "generates nothing more while it is armed; health is good"
        ),
        FaultKind("drift", Scope.ENGINE, "generates other text than its siblings"),
        FaultKind(
            "low_logprobs",
            Scope.ENGINE,
            "log probabilities of completions are lower by `s` (1)",
        ),
        FaultKind("slow_health", Scope.PROBE, "/health takes `s` (10) seconds"),
        FaultKind("empty_metrics", Scope.PROBE, "/metrics is [] after `s` (2) seconds"),
        FaultKind("wrong_model", Scope.PROBE, "/v1/models names another model"),
        FaultKind("abort_on_exit", Scope.EXIT, "ends in SIGABRT once all answers are out"),
    )
}


class UnknownFault(ValueError):  # noqa: N818 - names the condition
    """No fault is called so, or a key or value of it is wrong; the message says which."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One armed fault."""

    kind: str
    share: float = 1.0
    """Share of the requests (or probes) that meet it, 0 to 1."""
    after_tokens: int = 0
    """Tokens of an answer that are sent before it happens."""
    at_byte: int | None = None
    s: float | None = None
    code: int | None = None
    seed: int | None = None
    """Draws from a generator of its own."""

    @property
    def scope(self) -> Scope:
        """Return what it happens to."""
        return KINDS[self.kind].scope


def parse_fault(text: str) -> Fault:
    """Read ``KIND[:key=value,...]``.

    Raises:
        UnknownFault: with the kinds or keys that exist.
    """
    kind, _, rest = text.partition(":")
    values: dict[str, str] = {}
    for pair in filter(None, rest.split(",")):
        key, separator, value = pair.partition("=")
        if not separator:
            raise UnknownFault(f"fault {text!r}: expected key=value, got {pair!r}")
        values[key.strip()] = value.strip()
    return make_fault({"kind": kind.strip(), **values})


def make_fault(values: Mapping[str, object]) -> Fault:
    """Check one fault's fields, given as strings or as JSON values.

    Raises:
        UnknownFault: with the kinds or keys that exist.
    """
    kind = values.get("kind")
    if kind not in KINDS:
        raise UnknownFault(f"unknown fault {kind!r}; known: {', '.join(sorted(KINDS))}")
    known = {f.name for f in fields(Fault)}
    if unknown := set(values) - known:
        keys = ", ".join(sorted(known - {"kind"}))
        raise UnknownFault(f"fault {kind}: unknown key {min(unknown)!r}; known: {keys}")
    try:
        fault = msgspec.convert(dict(values), Fault, strict=False)
    except msgspec.ValidationError as wrong:
        raise UnknownFault(f"fault {kind}: {wrong}") from wrong
    if not 0 <= fault.share <= 1:
        raise UnknownFault(f"fault {kind}: share must be 0 to 1, got {fault.share:g}")
    return fault


class FaultPlan:
    """The armed faults, replaced as a whole at run time."""

    def __init__(self, faults: Iterable[Fault], *, seed: int) -> None:
        self._seed = seed
        self._armed: list[tuple[Fault, Random]] = []
        self.replace(faults)

    @property
    def faults(self) -> Sequence[Fault]:
        """Return the armed faults, in the order of their drawing."""
        return [fault for fault, _ in self._armed]

    def replace(self, faults: Iterable[Fault]) -> None:
        """Arm these instead; the drawing starts anew."""
        shared = Random(self._seed)
        self._armed = [
            (fault, shared if fault.seed is None else Random(fault.seed)) for fault in faults
        ]

    def for_request(self) -> Fault | None:
        """Draw the fault that a new generation request meets."""
        return self._draw(lambda fault: fault.scope in {Scope.HEAD, Scope.STREAM})

    def of_kind(self, kind: str) -> Fault | None:
        """Draw whether a fault of ``kind`` happens now."""
        return self._draw(lambda fault: fault.kind == kind)

    def _draw(self, wanted: Callable[[Fault], bool]) -> Fault | None:
        for fault, rng in self._armed:
            if wanted(fault) and rng.random() < fault.share:
                return fault
        return None
