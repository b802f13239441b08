"""Read a request's prompt: how many there are, and how long; each of its forms is checked.

The text stays as the bytes it came in: it is looked at only as far as its form must be known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from gateway.core.errors import InvalidRequest
from gateway.core.fields import Count
from gateway.core.operation import CHAT, Operation

_PROMPTS = msgspec.json.Decoder(list[Raw])
_TOKEN_IDS = msgspec.json.Decoder(Annotated[list[Count], Meta(min_length=1)])
_QUOTE, _BRACKET = ord('"'), ord("[")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the gateway knows of a request's prompt."""

    count: int
    length_bytes: int
    """Length of its JSON text: what its prefill time is estimated from."""


def read_prompt(
    operation: Operation, fields: Mapping[str, Raw], values: Mapping[str, Any], most: int
) -> Prompt:
    """Check the prompt of a request of ``operation``.

    Args:
        operation: which endpoint was called.
        fields: the request's, without those that are null.
        values: the same, decoded as `gateway.core.fields` says.
        most: how many prompts one request may hold.

    Raises:
        InvalidRequest: it is missing, empty, of a wrong type, or there are too many.
    """
    if operation is CHAT:
        return Prompt(1, _chat(fields, values))
    raw = fields.get("prompt")
    if raw is None:
        raise InvalidRequest('field "prompt" is missing', param="prompt")
    return Prompt(_count(raw, most), len(memoryview(raw)))


def _chat(fields: Mapping[str, Raw], values: Mapping[str, Any]) -> int:
    messages = values.get("messages")
    if messages is None:
        raise InvalidRequest('field "messages" is missing', param="messages")
    ids = fields.get("prompt_token_ids")
    if ids is not None and not _is_token_ids(ids):
        raise InvalidRequest(
            'field "prompt_token_ids" must be a list of token ids (integers from 0)',
            param="prompt_token_ids",
        )
    # Ids take the place of the messages, which may then be an empty list.
    text = ids or fields.get("prompt_token_ids_b64")
    if text is None:
        if not messages:
            raise InvalidRequest('field "messages" is empty', param="messages")
        text = fields["messages"]
    return len(memoryview(text))


def _count(raw: Raw, most: int) -> int:
    first = memoryview(raw)[0]
    if first == _QUOTE or _is_token_ids(raw):
        return 1
    if first != _BRACKET:
        raise InvalidRequest(
            'field "prompt" must be a string, a list of strings, or token ids', param="prompt"
        )
    prompts = _PROMPTS.decode(raw)
    if not prompts:
        raise InvalidRequest('field "prompt" is an empty list', param="prompt")
    _check_alike(prompts)
    if len(prompts) > most:
        raise InvalidRequest(
            f'field "prompt" holds {len(prompts)} prompts; at most {most} are served',
            param="prompt",
        )
    return len(prompts)


def _check_alike(prompts: list[Raw]) -> None:
    if memoryview(prompts[0])[0] == _QUOTE:
        alike = all(memoryview(prompt)[0] == _QUOTE for prompt in prompts)
    else:
        alike = all(map(_is_token_ids, prompts))
    if not alike:
        raise InvalidRequest(
            'field "prompt" must hold only strings, only token ids (integers from 0), or only '
            "lists of token ids, none of them empty",
            param="prompt",
        )


def _is_token_ids(raw: Raw) -> bool:
    try:
        _TOKEN_IDS.decode(raw)
    except msgspec.DecodeError:
        return False
    return True
