"""Read a client's request: the few values decided on, the rest as the bytes they came in.

One pass cuts the body into top-level fields (`msgspec.Raw`, slices of the body, no parse tree);
each field that is present is then checked against `gateway.core.fields`. Whatever is wrong is
said with the field's name; nothing here raises anything but the errors of
`gateway.core.errors`.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from gateway.core.errors import InvalidRequest, PermissionDenied
from gateway.core.fields import FIELDS, StreamOptions
from gateway.core.operation import Operation
from gateway.core.snapshot import Limits

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_PROMPTS = msgspec.json.Decoder(list[Raw])
_TOKEN_IDS = re.compile(rb"\[\s*\d{1,10}\s*(?:,\s*\d{1,10}\s*)*\]")
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)
_NULL = b"null"


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """A checked request, ready to be shaped for whichever replica is picked."""

    operation: Operation
    model: str
    """As the client named it."""
    fields: dict[str, Raw]
    """Top-level fields with their JSON text; those that are null are kept."""
    stream: bool
    usage_wanted: bool
    """The client asked for the usage event of a stream."""
    usage_everywhere: bool
    """... and for running counts in every chunk."""
    n: int
    prompts: int
    max_tokens: int | None
    prompt_bytes: int
    """Length of the prompt's JSON text: what its prefill time is estimated from."""

    @property
    def choices(self) -> int:
        """How many choices a complete answer has."""
        return self.n * self.prompts


def cut(body: bytes, *, depth: int) -> dict[str, Raw]:
    """Cut a JSON object into its top-level fields; of repeated names the last counts.

    Raises:
        InvalidRequest: it is not UTF-8, not JSON, not an object, or nested deeper than
        ``depth``.
    """
    if not body.strip():
        raise InvalidRequest("the request body is empty; send a JSON object")
    if not body.isascii():
        _check_utf8(body)
    if body.count(b"[") + body.count(b"{") > depth:
        _check_depth(body, depth)
    try:
        return _FIELDS.decode(body)
    except msgspec.ValidationError as wrong:
        raise InvalidRequest(f"the request body must be a JSON object: {wrong}") from None
    except (msgspec.DecodeError, RecursionError) as wrong:
        raise InvalidRequest(f"the request body is not valid JSON: {wrong}") from None


def model_name(fields: dict[str, Raw]) -> str:
    """Return the ``model`` field.

    Raises:
        InvalidRequest: it is missing, empty or not a string.
    """
    raw = fields.get("model")
    if raw is None or raw == _NULL:
        raise InvalidRequest('field "model" is missing: name one of /v1/models', param="model")
    name: str = _value("completions", "model", raw)
    return name


def parse(
    operation: Operation,
    fields: dict[str, Raw],
    limits: Limits,
    *,
    scopes: frozenset[str] | None,
) -> InferenceRequest:
    """Check every field and draw out what the gateway decides on.

    Args:
        operation: which endpoint was called.
        fields: as `cut` gave them.
        limits: the model's.
        scopes: scoped fields that the client's key may send; None for all.

    Raises:
        InvalidRequest: a field is unknown, of the wrong type, out of range, or missing.
        PermissionDenied: a scoped field without its scope.
    """
    values = {name: _checked(operation.name, name, raw, scopes) for name, raw in fields.items()}
    stream = bool(values.get("stream"))
    options = values.get("stream_options")
    if options is not None and not stream:
        raise InvalidRequest(
            'field "stream_options" needs "stream": true', param="stream_options"
        )
    n = values.get("n") or 1
    if n > limits.n:
        raise InvalidRequest(f'field "n" is {n}; at most {limits.n} are served', param="n")
    prompts, prompt_bytes = _prompt(operation, fields, limits)
    limit = values.get("max_completion_tokens") or values.get("max_tokens")
    return InferenceRequest(
        operation=operation,
        model=values["model"],
        fields=fields,
        stream=stream,
        usage_wanted=_flag(options, "include_usage"),
        usage_everywhere=_flag(options, "continuous_usage_stats"),
        n=n,
        prompts=prompts,
        max_tokens=limit,
        prompt_bytes=prompt_bytes,
    )


def _checked(operation: str, name: str, raw: Raw, scopes: frozenset[str] | None) -> Any:  # noqa: ANN401 - any JSON value
    field = FIELDS[operation].get(name)
    if field is None:
        raise InvalidRequest(_unknown(operation, name), param=name)
    if field.scoped and scopes is not None and name not in scopes and raw != _NULL:
        raise PermissionDenied(f'this API key may not send the field "{name}"', param=name)
    return _value(operation, name, raw)


def _value(operation: str, name: str, raw: Raw) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return FIELDS[operation][name].decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError) as wrong:
        raise InvalidRequest(f'field "{name}": {_reason(wrong)}', param=name) from None


def _reason(wrong: Exception) -> str:
    text = str(wrong)
    return text[0].lower() + text[1:] if text else "not valid"


def _unknown(operation: str, name: str) -> str:
    near = difflib.get_close_matches(name, FIELDS[operation], 1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return f'unknown field "{name}"{hint}'


def _flag(options: StreamOptions | None, name: str) -> bool:
    return options is not None and bool(getattr(options, name))


def _prompt(operation: Operation, fields: dict[str, Raw], limits: Limits) -> tuple[int, int]:
    """Return how many prompts there are and how long their JSON text is."""
    if operation.name == "chat":
        return 1, _chat_prompt(fields)
    raw = fields.get("prompt")
    if raw is None or raw == _NULL:
        raise InvalidRequest('field "prompt" is missing', param="prompt")
    text = memoryview(raw)
    return _count_prompts(raw, limits), len(text)


def _chat_prompt(fields: dict[str, Raw]) -> int:
    ids = fields.get("prompt_token_ids")
    if ids is not None and ids != _NULL:
        _check_token_ids(ids, "prompt_token_ids")
        return len(memoryview(ids))
    if "prompt_token_ids_b64" in fields:
        return len(memoryview(fields["prompt_token_ids_b64"]))
    messages = fields.get("messages")
    if messages is None or messages == _NULL:
        raise InvalidRequest('field "messages" is missing', param="messages")
    if len(memoryview(messages)) <= len(b"[ ]") and not bytes(messages).strip(b"[] \t\r\n"):
        raise InvalidRequest('field "messages" is empty', param="messages")
    return len(memoryview(messages))


def _count_prompts(raw: Raw, limits: Limits) -> int:
    text = memoryview(raw)
    if text[0] == ord('"'):
        return 1
    if text[0] != ord("["):
        raise InvalidRequest(
            'field "prompt" must be a string, a list of strings, or token ids', param="prompt"
        )
    if _TOKEN_IDS.fullmatch(text):
        return 1
    prompts = _PROMPTS.decode(raw)
    if not prompts:
        raise InvalidRequest('field "prompt" is an empty list', param="prompt")
    if len(prompts) > limits.prompts:
        raise InvalidRequest(
            f'field "prompt" holds {len(prompts)} prompts; at most {limits.prompts} are served',
            param="prompt",
        )
    strings = memoryview(prompts[0])[0] == ord('"')
    for prompt in prompts:
        if strings and memoryview(prompt)[0] == ord('"'):
            continue
        _check_token_ids(prompt, "prompt")
    return len(prompts)


def _check_token_ids(raw: Raw, name: str) -> None:
    if not _TOKEN_IDS.fullmatch(memoryview(raw)):
        raise InvalidRequest(
            f'field "{name}" must hold strings or lists of token ids (integers from 0)',
            param=name,
        )


def _check_utf8(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as wrong:
        raise InvalidRequest(
            f"the request body is not UTF-8: {wrong.reason} at byte {wrong.start}"
        ) from None


def _check_depth(body: bytes, depth: int) -> None:
    level = 0
    for match in _BRACKETS.finditer(body):
        mark = body[match.start()]
        if mark in b"[{":
            level += 1
            if level > depth:
                raise InvalidRequest(f"the request body is nested over {depth} levels deep")
        elif mark in b"]}":
            level -= 1
