"""Read a request's prompt: how many there are, and how long; each of its forms is checked.

The text stays as the bytes it came in: it is looked at only as far as its form must be known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from gateway.core.errors import InvalidRequest
from gateway.core.fields import Count
from gateway.core.operation import Operation

_LIST = msgspec.json.Decoder(list[Raw])
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
    first = operation.prompt[0]
    if values.get(first) is None:
        raise InvalidRequest(f'field "{first}" is missing', param=first)
    if operation.name == "chat":
        return Prompt(1, _chat(fields, values))
    length = sum(len(memoryview(fields[name])) for name in operation.prompt if name in fields)
    return Prompt(_COUNTS.get(operation.name, _one)(first, fields[first], most), length)


def _chat(fields: Mapping[str, Raw], values: Mapping[str, Any]) -> int:
    ids = fields.get("prompt_token_ids")
    if ids is not None and not _is_token_ids(ids):
        raise InvalidRequest(
            'field "prompt_token_ids" must be a list of token ids (integers from 0)',
            param="prompt_token_ids",
        )
    # Ids take the place of the messages, which may then be an empty list.
    text = ids or fields.get("prompt_token_ids_b64")
    if text is None:
        if not values["messages"]:
            raise InvalidRequest('field "messages" is empty', param="messages")
        text = fields["messages"]
    return len(memoryview(text))


def _one(name: str, raw: Raw, most: int) -> int:  # noqa: ARG001 - the table's signature
    if memoryview(raw)[0] == _BRACKET and not _LIST.decode(raw):
        raise InvalidRequest(f'field "{name}" is empty', param=name)
    return 1


def _several(name: str, raw: Raw, most: int) -> int:
    first = memoryview(raw)[0]
    if first == _QUOTE or _is_token_ids(raw):
        return 1
    if first != _BRACKET:
        raise InvalidRequest(
            f'field "{name}" must be a string, a list of strings, or token ids', param=name
        )
    prompts = _LIST.decode(raw)
    if not prompts:
        raise InvalidRequest(f'field "{name}" is an empty list', param=name)
    _check_alike(name, prompts)
    if len(prompts) > most:
        raise InvalidRequest(
            f'field "{name}" holds {len(prompts)} prompts; at most {most} are served',
            param=name,
        )
    return len(prompts)


_COUNTS: Mapping[str, Callable[[str, Raw, int], int]] = {
    "completions": _several,
    "embeddings": _several,
}
"""By operation name: how prompts are counted where there may be several."""


def _check_alike(name: str, prompts: list[Raw]) -> None:
    if memoryview(prompts[0])[0] == _QUOTE:
        alike = all(memoryview(prompt)[0] == _QUOTE for prompt in prompts)
    else:
        alike = all(map(_is_token_ids, prompts))
    if not alike:
        raise InvalidRequest(
            f'field "{name}" must hold only strings, only token ids (integers from 0), or only '
            "lists of token ids, none of them empty",
            param=name,
        )


def _is_token_ids(raw: Raw) -> bool:
    try:
        _TOKEN_IDS.decode(raw)
    except msgspec.DecodeError:
        return False
    return True
