"""Requests as clients could send them: any fields, in any order and spelling.

Most are right for some release; of some one field is wrong, or null, or there twice.
"""

import json
from random import Random

from hypothesis import strategies as st

from tests.differential.asked import Asked
from tests.differential.edits import MARK
from tests.differential.valid_values import TABLES, WRONG

_PROMPTS = {"completions": ["prompt"], "chat": ["messages", "prompt_token_ids"]}
_OPTIONAL = {
    kind: sorted(table.keys() - {"prompt", "messages", "prompt_token_ids", "stream"})
    for kind, table in TABLES.items()
}
_WRONG = {
    kind: [(n, v) for n, v in WRONG if n in table or n in {"foo", "enable_thinking"}]
    for kind, table in TABLES.items()
}
_SELDOM = [False] * 9 + [True]


@st.composite
def requests(draw, *, models):
    """Draw an `Asked` for one of ``models``."""
    kind = draw(st.sampled_from(sorted(TABLES)))
    fields = [("model", json.dumps(draw(st.sampled_from(models)))), *draw(_prompts(kind))]
    names = draw(st.lists(st.sampled_from(_OPTIONAL[kind]), unique=True, max_size=7))
    for name in ["stream", *names]:
        values = ["null"] if draw(st.sampled_from(_SELDOM)) else TABLES[kind][name]
        fields.append((name, draw(st.sampled_from(values))))
    if not {"max_tokens", "max_completion_tokens"} & set(names) and not draw(_seldom):
        fields.append(("max_tokens", draw(st.sampled_from(TABLES[kind]["max_tokens"]))))
    if draw(_seldom):
        name, value = draw(st.sampled_from(_WRONG[kind]))
        fields = [field for field in fields if field[0] != name] + [(name, value)]
    if draw(_seldom):
        name = draw(st.sampled_from([name for name, _ in fields if name != "model"]))
        fields.append((name, draw(st.sampled_from(TABLES[kind].get(name, ["1"])))))
    fields = draw(st.permutations(fields))
    written = draw(st.sampled_from([_tight, _usual, _odd]))
    text = written(fields, Random(draw(st.integers(0, 1 << 16))))
    return Asked(kind, draw(_seldom) * MARK + text.encode())


_seldom = st.sampled_from(_SELDOM)


@st.composite
def _prompts(draw, kind):
    table = TABLES[kind]
    if kind == "completions":
        return [("prompt", draw(st.sampled_from(table["prompt"])))]
    if not draw(_seldom):
        return [("messages", draw(st.sampled_from(table["messages"])))]
    ids = ("prompt_token_ids", draw(st.sampled_from(table["prompt_token_ids"])))
    return [("messages", draw(st.sampled_from(["[]", table["messages"][0]]))), ids]


def _tight(fields, _):
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in fields) + "}"


def _usual(fields, _):
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in fields) + "}"


def _odd(fields, dressed):
    """Put white space between, and write letters of names as escapes."""

    def white():
        return "".join(dressed.choices(" \t\r\n", k=dressed.choice([0, 0, 1, 3])))

    def spelled(name):
        odd = dressed.random() < 0.2
        return "".join(
            f"\\u{ord(c):04x}" if odd and dressed.random() < 0.3 else c for c in name
        )

    parts = [
        f'{white()}"{spelled(name)}"{white()}:{white()}{text}{white()}' for name, text in fields
    ]
    return f"{white()}{{{','.join(parts)}}}{white()}"
