"""What a run came to: what was injected, what clients saw, and how many sins.

Tallies add up, and go to JSON and back: a long run is made in slices.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.calls import CLIENTS
from tests.chaos.checker import GOOD, SINS, UNTRUE, Verdict
from tests.chaos.faults import KINDS
from tests.chaos.running import Judged

_BETWEEN = "|"
_MOST_EXAMPLES = 30


@dataclass
class Report:
    """The tally of one run or more."""

    seen: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By fault, client and verdict."""
    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    """Sins, in words."""

    def add(self, judged: Iterable[Judged]) -> None:
        """Count more calls."""
        for each in judged:
            self.seen[each.fault, each.call.client, each.verdict] += 1
            self._count(each)
            if each.verdict in SINS and len(self.examples) < _MOST_EXAMPLES:
                self.examples.append(str(each))

    def merge(self, other: "Report") -> None:
        """Count what another has counted."""
        self.seen.update(other.seen)
        self.counts.update(other.counts)
        self.examples += other.examples[: _MOST_EXAMPLES - len(self.examples)]

    def _count(self, each: Judged) -> None:
        breaking = [strike for strike in each.struck if KINDS[strike.kind].breaks]
        shown = any(strike.content for strike in breaking)
        self.counts["calls"] += 1
        self.counts["streams"] += each.call.stream
        self.counts["faults"] += len(each.struck)
        self.counts["faulted_streams"] += each.call.stream and bool(each.struck)
        if breaking and not shown and each.sound:
            self.counts["faulted_before_content"] += 1
            self.counts["saved_by_another_replica"] += each.verdict is Verdict.COMPLETE
        self.counts["faulted_after_content"] += shown

    def of(self, verdicts: Iterable[Verdict]) -> int:
        """Return how many calls came to one of ``verdicts``."""
        wanted = set(verdicts)
        return sum(n for (_, _, verdict), n in self.seen.items() if verdict in wanted)

    @property
    def sins(self) -> int:
        """How many calls must not have come to what they came to."""
        return self.of(SINS)

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        return {
            "seen": {_BETWEEN.join(key): count for key, count in self.seen.items()},
            "counts": dict(self.counts),
            "examples": self.examples,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Report":
        """Return what `as_json` gave."""
        seen = {tuple(key.split(_BETWEEN)): count for key, count in kept["seen"].items()}
        return cls(Counter(seen), Counter(kept["counts"]), list(kept["examples"]))

    def figures(self) -> dict[str, Any]:
        """Return what is worth keeping."""
        return {
            **dict(self.counts),
            "truncated_or_wrong_that_look_complete": self.of(UNTRUE),
            "errors_before_content_though_a_replica_was_left": self.of([Verdict.NEEDLESS]),
            "transport_errors": self.of([Verdict.TRANSPORT]),
            "hangs": self.of([Verdict.HUNG]),
            "other_sins": self.sins
            - self.of({*UNTRUE, Verdict.NEEDLESS, Verdict.TRANSPORT, Verdict.HUNG}),
            "complete": self.of([Verdict.COMPLETE]),
            "refused_in_form": self.of([Verdict.REFUSED]),
            "broken_off_in_form": self.of([Verdict.BROKEN_OFF]),
            "by_fault": self._by_fault(),
        }

    def _by_fault(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for fault in self._faults():
            row = Counter[str]()
            for (kind, _, verdict), count in self.seen.items():
                if kind == fault:
                    row[verdict] += count
            found[fault] = dict(row)
        return found

    def _faults(self) -> list[str]:
        met = {fault for fault, _, _ in self.seen}
        return sorted(met - set(KINDS)) + [kind for kind in KINDS if kind in met]

    def table(self) -> str:
        """Return the tally by fault, client and verdict, for people."""
        verdicts = [
            v for v in Verdict if v in GOOD or any(found == v for _, _, found in self.seen)
        ]
        rows = [["fault", "client", *verdicts]]
        for fault in self._faults():
            for client in CLIENTS:
                counts = [self.seen[fault, client, verdict] for verdict in verdicts]
                if any(counts):
                    rows.append([fault, client, *(str(count or "") for count in counts)])
        return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        words = [
            word.ljust(width) if at < 2 else word.rjust(width)
            for at, (word, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(words).rstrip())
    return "\n".join(lines)
