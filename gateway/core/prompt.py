"""Check a request's prompt and count its prompts; each of its forms is known.

The text stays as the bytes it came in: it is looked at only as far as its form must be known,
and no string or number is made of it.
"""

import re
from collections.abc import Mapping

from msgspec import Raw

from gateway.core.errors import InvalidRequest
from gateway.core.field_tables import Values
from gateway.core.operation import CHAT, Operation
from gateway.core.steps import Steps
from gateway.core.token_ids import count_lists

_QUOTE, _BRACKET = ord('"'), ord("[")
_EMPTY = re.compile(rb"\[[ \t\r\n]*\]")
_STRINGS = re.compile(rb'\[[ \t\r\n]*"')
_BETWEEN = b", \t\r\n"


def prompt_names(operation: Operation, given: Mapping[str, Raw]) -> tuple[str, ...]:
    """Name the fields that make up the prompt.

    Args:
        operation: which endpoint was called.
        given: the request's fields, without those that are null.
    """
    if operation is CHAT:
        if "prompt_token_ids" in given:  # takes the place of the messages
            return ("prompt_token_ids",)
        if "prompt_token_ids_b64" in given:
            return ("prompt_token_ids_b64",)
    if len(operation.prompt) == 1:  # it must be there
        return operation.prompt
    return tuple(name for name in operation.prompt if name in given)


def count_prompts(operation: Operation, given: Mapping[str, Raw], values: Values) -> int | None:
    """Check that there is a prompt; return how many, None if that takes `prompt_steps`.

    Args:
        operation: which endpoint was called.
        given: the request's fields, without those that are null.
        values: the same, decoded.

    Raises:
        InvalidRequest: it is missing, empty, or of a wrong type.
    """
    name = operation.prompt[0]
    raw = given.get(name)
    value = getattr(values, name, raw)  # one whose form is checked here was not decoded
    if raw is None or value is None:
        raise InvalidRequest(f'field "{name}" is missing', param=name)
    if operation.several:
        return _one(name, raw)
    ids = operation is CHAT and _has_ids(given)
    if value == [] and not ids:
        raise InvalidRequest(f'field "{name}" is empty', param=name)
    return 1


def prompt_steps(name: str, prompt: Raw, most: int) -> Steps[int]:
    """Count the prompts in a list: strings, token ids, or lists of those.

    Args:
        name: of its field.
        prompt: the list.
        most: how many there may be.

    Raises:
        InvalidRequest: it is empty, holds something else, or over ``most`` prompts.
    """
    text = bytes(prompt)
    if _EMPTY.match(text):
        raise InvalidRequest(f'field "{name}" is an empty list', param=name)
    if _STRINGS.match(text):
        return (yield from _string_steps(name, text, most))
    return _count_ids(name, text, most)


def _one(name: str, raw: Raw) -> int | None:
    first = memoryview(raw)[0]
    if first == _QUOTE:
        return 1
    if first != _BRACKET:
        raise InvalidRequest(
            f'field "{name}" must be a string, a list of strings, or token ids', param=name
        )
    return None


def _has_ids(given: Mapping[str, Raw]) -> bool:
    """Say whether a chat brings token ids: they take the place of its messages."""
    ids = given.get("prompt_token_ids")
    if ids is not None and count_lists(bytes(ids)) != 0:
        raise InvalidRequest(
            'field "prompt_token_ids" must be a list of token ids (integers from 0)',
            param="prompt_token_ids",
        )
    return ids is not None or "prompt_token_ids_b64" in given


def _string_steps(name: str, text: bytes, most: int) -> Steps[int]:
    if b'\\"' in text:  # these quotes begin and end nothing
        text = text.replace(b"\\\\", b"")
        yield
        text = text.replace(b'\\"', b"")
        yield
    pieces = text.split(b'"', 2 * most + 1)
    if len(pieces) > 2 * most + 1:
        yield
        raise _too_many(name, (len(text) - len(text.translate(None, b'"'))) // 2, most)
    if b"".join(pieces[::2]).translate(None, _BETWEEN) != b"[]":
        raise _not_alike(name)
    return len(pieces) // 2


def _count_ids(name: str, text: bytes, most: int) -> int:
    if len(text.split(b"[", most + 2)) > most + 2:
        raise _too_many(name, text.count(b"[") - 1, most)
    lists = count_lists(text)
    if lists is None:
        raise _not_alike(name)
    return lists or 1


def _not_alike(name: str) -> InvalidRequest:
    return InvalidRequest(
        f'field "{name}" must hold only strings, only token ids (integers from 0), or only '
        "lists of token ids, none of them empty",
        param=name,
    )


def _too_many(name: str, count: int, most: int) -> InvalidRequest:
    return InvalidRequest(
        f'field "{name}" holds {count} prompts; at most {most} are served', param=name
    )
