"""Requests as clients could send them: any fields, in any order and spelling.

Most are right for the release that they go to; of some, one field is not known to it, or wrong,
or null, or there twice. What they are made of is drawn evenly; hypothesis finds out which
fields a failure can do without.
"""

import json
from dataclasses import dataclass
from random import Random

from hypothesis import strategies as st

from backends.simulator.schema import accepted_fields
from gateway.core.fields import DIALECTS
from tests.differential.asked import Asked
from tests.differential.edits import ERAS, MARK, SAYS_NOTHING, SCHEMAS
from tests.differential.front import takes_most
from tests.differential.valid_values import OFTEN, TABLES, WRONG

_PROMPT = {"completions": "prompt", "chat": "messages"}
_APART = {"prompt", "messages", "prompt_token_ids", "prompt_token_ids_b64", "stream", "model"}
_LIMITS = ["max_tokens", "max_completion_tokens"]
_KEPT = [False, *[True] * 9]
_TRIES = 16
_seeds = st.tuples(*[st.integers(0, 255)] * 16)
"""In parts: hypothesis repeats what it drew, and so hardly ever repeats all of it."""


@dataclass(frozen=True)
class Names:
    """Fields of one operation, by how one release takes them."""

    usual: list[str]
    strange: list[str]

    @classmethod
    def of(cls, kind, dialect):
        known = accepted_fields(SCHEMAS[kind], ERAS[dialect]) | SAYS_NOTHING[dialect]
        names = sorted(TABLES[kind].keys() - _APART)
        return cls([n for n in names if n in known], [n for n in names if n not in known])


NAMES = {(kind, dialect): Names.of(kind, dialect) for kind in TABLES for dialect in DIALECTS}


@st.composite
def requests(draw, *, dialect, models):
    """Draw an `Asked` for one of ``models``, which run on ``dialect``."""
    rng = Random(bytes(draw(_seeds)))
    kind = rng.choice(sorted(TABLES))
    needed, optional = _most_likely_right(rng, kind, dialect)
    kept = [field for field in optional if draw(st.sampled_from(_KEPT))]
    fields = [("model", json.dumps(rng.choice(models))), *needed, *kept]
    _spoil(rng, kind, fields)
    rng.shuffle(fields)
    written = draw(st.sampled_from([_tight, _usual, _odd]))
    mark = MARK if _seldom(rng) else b""
    return Asked(kind, mark + written(fields, rng).encode())


def _most_likely_right(rng, kind, dialect):
    for _ in range(rng.choice([1, _TRIES, _TRIES, _TRIES])):
        needed = _prompt(rng, kind)
        optional = [*_limit(rng, kind), *_optional(rng, kind, dialect)]
        if takes_most(kind, [("model", '"m"'), *needed, *optional], dialect):
            break
    return needed, optional


def _seldom(rng):
    return rng.random() < 0.1


def _prompt(rng, kind):
    table = TABLES[kind]
    if kind == "chat" and _seldom(rng):
        ids = ("prompt_token_ids", rng.choice(table["prompt_token_ids"]))
        return [("messages", rng.choice(["[]", table["messages"][0]])), ids]
    return [(_PROMPT[kind], rng.choice(table[_PROMPT[kind]]))]


def _limit(rng, kind):
    """Limit nearly every answer: without that they are long."""
    if _seldom(rng):
        return []
    name = "max_completion_tokens" if kind == "chat" and rng.random() < 0.3 else "max_tokens"
    return [(name, rng.choice(TABLES[kind][name]))]


def _optional(rng, kind, dialect):
    names = NAMES[kind, dialect]
    weights = [OFTEN.get(name, 1) for name in names.usual]
    chosen = {*rng.choices(names.usual, weights, k=rng.choice([1, 2, 3, 4, 6, 8, 12]))}
    chosen -= {*_LIMITS} if rng.random() < 0.7 else set()
    if _seldom(rng) and names.strange:
        chosen.add(rng.choice(names.strange))
    if rng.random() < 0.6 or "stream_options" in chosen:
        chosen.add("stream")
    if "tool_choice" in chosen or "top_logprobs" in chosen:
        chosen |= {"tools"} if "tool_choice" in chosen else {"logprobs"}
    null = rng.choice([None] * 3 + [*chosen]) if chosen else None
    return [
        (name, "null" if name == null else rng.choice(TABLES[kind][name]))
        for name in sorted(chosen)
    ]


def _spoil(rng, kind, fields):
    """Put something wrong among them, or a field that is there already; mostly neither."""
    if _seldom(rng):
        known = TABLES[kind].keys() | {"foo", "enable_thinking"}
        name, value = rng.choice([each for each in WRONG if each[0] in known])
        fields[:] = [field for field in fields if field[0] != name] + [(name, value)]
    if _seldom(rng):
        name = rng.choice([name for name, _ in fields])
        values = TABLES[kind].get(name, [text for field, text in fields if field == name])
        fields.append((name, rng.choice(values)))


def _tight(fields, _):
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in fields) + "}"


def _usual(fields, _):
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in fields) + "}"


def _odd(fields, rng):
    """Put white space between, and write letters of names as escapes."""

    def white():
        return "".join(rng.choices(" \t\r\n", k=rng.choice([0, 0, 1, 3])))

    def spelled(name):
        share = rng.choice([0, 0, 0.3])
        return "".join(f"\\u{ord(c):04x}" if rng.random() < share else c for c in name)

    parts = [
        f'{white()}"{spelled(name)}"{white()}:{white()}{text}{white()}' for name, text in fields
    ]
    return f"{white()}{{{','.join(parts)}}}{white()}"
