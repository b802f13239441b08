"""What the clients of a chaos run ask, and the one text that is the right answer to each.

Rule: the texts come from the simulator's own generator, which is the same for ever, and each
call has a prompt of its own: a lost, doubled or foreign token shows in the text alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from backends.simulator.chat import render_chat
from backends.simulator.text import Detokenizer, generate, tokenize
from backends.simulator.wire_types import Message

MODEL = "chaos"
RAW, PYTHON, NODE = "raw", "openai-python", "openai-node"
CLIENTS = (RAW, PYTHON, NODE)
_ID = "chaos-"
_RAW_SHARE = 0.5
"""It sees the most."""
_FEWEST_TOKENS, _MOST_TOKENS = 4, 60
"""An answer ends by itself after 64 tokens or more: these all end by their limit."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request of one client."""

    number: int
    client: str
    chat: bool
    stream: bool
    tokens: int

    @property
    def id(self) -> str:
        """Its ``x-request-id``, by which the proxies know it again."""
        return f"{_ID}{self.number}"

    @property
    def path(self) -> str:
        """Where it goes."""
        return "/v1/chat/completions" if self.chat else "/v1/completions"

    @property
    def body(self) -> dict[str, Any]:
        """What it sends."""
        asked: dict[str, Any] = {"model": MODEL, "max_tokens": self.tokens}
        if self.stream:
            asked["stream"] = True
        if self.chat:
            return {**asked, "messages": [{"role": "user", "content": self._prompt}]}
        return {**asked, "prompt": self._prompt}

    @property
    def truth(self) -> str:
        """The text of the answer."""
        if self.chat:
            prompt = render_chat([Message(role="user", content=self._prompt)], [])
        else:
            prompt = tokenize(self._prompt)
        text = Detokenizer()
        return text.feed(list(islice(generate(prompt), self.tokens))) + text.finish()

    @property
    def _prompt(self) -> str:
        return f"Question {self.number}: where is New York?"


def number_of(request_id: str) -> int | None:
    """Return the number of the call with this ``x-request-id``; None if it is no call's."""
    digits = request_id.removeprefix(_ID)
    return int(digits) if request_id != digits and digits.isdigit() else None


def make_calls(
    seed: int,
    count: int,
    *,
    first: int = 0,
    clients: Sequence[str] = CLIENTS,
    streamed_share: float = 0.85,
) -> Iterator[Call]:
    """Yield the calls ``first`` and following: the same ones for the same seed."""
    for number in range(first, first + count):
        rng = Random(f"{seed} call {number}")
        others = [client for client in clients if client != RAW]
        raw = RAW in clients and (not others or rng.random() < _RAW_SHARE)
        yield Call(
            number=number,
            client=RAW if raw else rng.choice(others),
            chat=rng.random() < 0.5,
            stream=rng.random() < streamed_share,
            tokens=rng.randint(_FEWEST_TOKENS, _MOST_TOKENS),
        )
