"""Where the gateway refuses, on purpose, what a replica's front door lets in.

Behind that door nothing good happens: the engine's own checks fail, which a client hears of as
a broken connection, or the request means nothing. So it is said at once, with the field's name.
"""

import json
import math

_INT32 = 2**31 - 1
_FLOAT32 = 3.4e38
_COUNTS = {"top_k", "min_tokens", "prompt_ignore_length", "thinking_token_budget"}
_IDS = {"prompt", "prompt_token_ids", "stop_token_ids"}


def _numbers(value):
    if isinstance(value, dict):
        return [number for each in value.values() for number in _numbers(each)]
    if isinstance(value, list):
        return [number for each in value for number in _numbers(each)]
    try:
        return [float(value)]
    except (TypeError, ValueError, OverflowError):
        return []


REASONS = {
    "no number of JSON's": lambda _, __, text: "NaN" in text or "Infinity" in text,
    "no engine holds a number so large": lambda _, value, __: any(
        not math.isfinite(number) or abs(number) > _FLOAT32 for number in _numbers(value)
    ),
    "a limit of over 63 bits": lambda field, value, __: (
        field in {"max_tokens", "max_completion_tokens", "truncate_prompt_tokens"}
        and any(number >= 2**63 for number in _numbers(value))
    ),
    "a seed has 64 bits": lambda field, value, __: (
        field == "seed" and any(number >= 2**64 for number in _numbers(value))
    ),
    "the engine counts in 32 bits, from 0": lambda field, value, __: (
        field in _COUNTS | _IDS | {"top_logprobs", "logprobs"}
        and any(not 0 <= number <= _INT32 for number in _numbers(value))
    ),
    "the engine refuses top_p 0": lambda field, value, __: field == "top_p" and not value,
    "the engine takes shares from 0 to 1": lambda field, value, __: (
        field in {"min_p", "top_p_min"} and any(not 0 <= n <= 1 for n in _numbers(value))
    ),
    "the engine refuses penalties that divide by nothing": lambda field, value, __: (
        field == "repetition_penalty" and any(number <= 0 for number in _numbers(value))
    ),
    "over a hundred alternatives to a token": lambda field, value, __: (
        field in {"logprobs", "top_logprobs"}
        and any(number > 100 for number in _numbers(value))
    ),
    "best of none": lambda field, value, __: field == "best_of" and not value,
    "a model without a name": lambda field, value, __: field == "model" and not value,
    "a chat of nothing": lambda field, value, __: field == "messages" and not value,
    "token ids are numbers": lambda field, value, __: (
        field in _IDS and ("true" in json.dumps(value) or value == ["1"])
    ),
    "a flag in stream_options is one of JSON's": lambda field, value, __: (
        field == "stream_options"
        and any(isinstance(each, str | float) for each in value.values())
    ),
}
"""For each a function of the field's name, its value and that value's text."""


def reason(field, text):
    """Return why a field with this JSON text for its value is refused; None if it is not."""
    value = json.loads(text)
    return next((why for why, holds in REASONS.items() if holds(field, value, text)), None)
