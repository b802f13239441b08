"""Check a request's prompt and count its prompts; each of its forms is known.

The text stays as the bytes it came in: it is looked at only as far as its form must be known,
and no string or number is made of it.
"""

import re
from collections.abc import Mapping

from msgspec import Raw

from gateway.core.errors import InvalidRequest
from gateway.core.fields import Values
from gateway.core.operation import CHAT, Operation
from gateway.core.steps import Steps
from gateway.core.token_ids import count_lists

_QUOTE, _BRACKET = ord('"'), ord("[")
_EMPTY = re.compile(rb"\[[ \t\r\n]*\]")
_STRINGS = re.compile(rb'\[[ \t\r\n]*"')
_BETWEEN = b", \t\r\n"


def prompt_name(operation: Operation, given: Mapping[str, Raw]) -> str:
    """Name the field that holds the prompt.

    Args:
        operation: which endpoint was called.
        given: the request's fields, without those that are null.
    """
    if operation is not CHAT:
        return "prompt"
    if "prompt_token_ids" in given:  # takes the place of the messages
        return "prompt_token_ids"
    return "prompt_token_ids_b64" if "prompt_token_ids_b64" in given else "messages"


def count_prompts(operation: Operation, given: Mapping[str, Raw], values: Values) -> int | None:
    """Check that there is a prompt; return how many, None if that takes `prompt_steps`.

    Args:
        operation: which endpoint was called.
        given: the request's fields, without those that are null.
        values: the same, decoded.

    Raises:
        InvalidRequest: it is missing, empty, or of a wrong type.
    """
    if operation is CHAT:
        _check_chat(given, values)
        return 1
    raw = given.get("prompt")
    if raw is None:
        raise InvalidRequest('field "prompt" is missing', param="prompt")
    first = memoryview(raw)[0]
    if first == _QUOTE:
        return 1
    if first != _BRACKET:
        raise InvalidRequest(
            'field "prompt" must be a string, a list of strings, or token ids', param="prompt"
        )
    return None


def prompt_steps(prompt: Raw, most: int) -> Steps[int]:
    """Count the prompts in a list: strings, token ids, or lists of those.

    Raises:
        InvalidRequest: it is empty, holds something else, or over ``most`` prompts.
    """
    text = bytes(prompt)
    if _EMPTY.match(text):
        raise InvalidRequest('field "prompt" is an empty list', param="prompt")
    if _STRINGS.match(text):
        return (yield from _string_steps(text, most))
    return _count_ids(text, most)


def _check_chat(given: Mapping[str, Raw], values: Values) -> None:
    if values.messages is None:
        raise InvalidRequest('field "messages" is missing', param="messages")
    ids = given.get("prompt_token_ids")
    if ids is not None and count_lists(bytes(ids)) != 0:
        raise InvalidRequest(
            'field "prompt_token_ids" must be a list of token ids (integers from 0)',
            param="prompt_token_ids",
        )
    if not values.messages and ids is None and "prompt_token_ids_b64" not in given:
        raise InvalidRequest('field "messages" is empty', param="messages")


def _string_steps(text: bytes, most: int) -> Steps[int]:
    if b'\\"' in text:  # these quotes begin and end nothing
        text = text.replace(b"\\\\", b"")
        yield
        text = text.replace(b'\\"', b"")
        yield
    pieces = text.split(b'"', 2 * most + 1)
    if len(pieces) > 2 * most + 1:
        yield
        raise _too_many((len(text) - len(text.translate(None, b'"'))) // 2, most)
    if b"".join(pieces[::2]).translate(None, _BETWEEN) != b"[]":
        raise _not_alike()
    return len(pieces) // 2


def _count_ids(text: bytes, most: int) -> int:
    if len(text.split(b"[", most + 2)) > most + 2:
        raise _too_many(text.count(b"[") - 1, most)
    lists = count_lists(text)
    if lists is None:
        raise _not_alike()
    return lists or 1


def _not_alike() -> InvalidRequest:
    return InvalidRequest(
        'field "prompt" must hold only strings, only token ids (integers from 0), or only '
        "lists of token ids, none of them empty",
        param="prompt",
    )


def _too_many(count: int, most: int) -> InvalidRequest:
    return InvalidRequest(
        f'field "prompt" holds {count} prompts; at most {most} are served', param="prompt"
    )
