"""From a checked body to what is to be generated, or the refusal that the server would give.

Two kinds of refusal differ in time: those of the front come before any header; those found in
the engine's own process (`Order.late_refusal`) come after the 200 of a streamed answer.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from backends.simulator.chat import ToolCall, choose_tool_call, content_text, render_chat
from backends.simulator.errors import Refused, bad_request, flat_error
from backends.simulator.guided import sample
from backends.simulator.sequences import Sampling
from backends.simulator.settings import Settings
from backends.simulator.text import choose_seed, detokenize, tokenize
from backends.simulator.wire_types import Message, StreamOptions

Values = Mapping[str, Any]


class NoTokensWanted(Refused):
    """``max_tokens`` is below 1, which one release does not survive twice."""


@dataclass(frozen=True, slots=True)
class Order:
    """One request, ready for the engine."""

    model: str
    """As the client wrote it; nothing checks it."""
    prompts: tuple[tuple[int, ...], ...]
    samplings: tuple[Sampling, ...]
    """One for each prompt."""
    many: bool
    """The body had a list of prompts, so the answer bears the server's own name."""
    chat: bool
    n: int = 1
    best_of: int = 1
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    logprobs: int | None = None
    """Alternatives for each token, 0 for the chosen one alone; None for no logprobs."""
    detokenize: bool = True
    echo: tuple[str, ...] | None = None
    """For each prompt, the text to say first."""
    salt: str = ""
    tool_call: ToolCall | None = None
    parsed_call: bool = False
    """The server turns the call's text into ``tool_calls``."""
    late_refusal: str | None = None
    """What the engine's process will object to."""
    warnings: tuple[str, ...] = ()
    """What the server's log says of it."""


def completion_order(values: Values, settings: Settings, rng: Random) -> Order:
    """Read a checked body of ``/v1/completions``.

    Raises:
        Refused: parameters that the server takes for an error.
    """
    raw = values["prompt"]
    many = isinstance(raw, list) and bool(raw) and not isinstance(raw[0], int)
    asked = raw if many else [raw]
    prompts = tuple(tuple(tokenize(p) if isinstance(p, str) else p) for p in asked)
    prompts = tuple(_truncated(p, values) for p in prompts)
    echo = None
    if values["echo"]:
        echo = tuple(p if isinstance(p, str) else detokenize(p) for p in asked)
    return Order(
        prompts=prompts,
        many=many and len(prompts) > 1,
        chat=False,
        logprobs=values["logprobs"],
        detokenize=values["detokenize"],
        echo=echo,
        **_common(values, values["max_tokens"], prompts, settings, rng),
    )


def chat_order(values: Values, settings: Settings, rng: Random) -> Order:
    """Read a checked body of ``/v1/chat/completions``.

    Raises:
        Refused: parameters that the server takes for an error.
    """
    messages: Sequence[Message] = values["messages"]
    tools = values["tools"] or ()
    if values["chat_template"] and not settings.chat_template_in_request:
        _refuse_template(settings)
    last = messages[-1] if messages else None
    try:
        prompt = _chat_prompt(values)
        call = choose_tool_call(tools, values["tool_choice"], last)
        echo = content_text(last.content) if last and last.role == "assistant" else None
    except ValueError as wrong:
        raise bad_request(str(wrong)) from wrong
    logprobs = values["logprobs"]
    prompts = (_truncated(prompt, values),)
    return Order(
        prompts=prompts,
        many=False,
        chat=True,
        logprobs=(values["top_logprobs"] or 0) if logprobs else None,
        echo=(echo,) if values["echo"] and echo is not None else None,
        salt=values.get("cache_salt") or "",
        tool_call=call,
        parsed_call=call is not None and (not call.before or settings.tool_parser),
        **_common(
            values, values["max_completion_tokens"], prompts, settings, rng,
            script=call.script if call else None,
        ),
    )  # fmt: skip


def _refuse_template(settings: Settings) -> None:
    if settings.dialect.error_frames:  # the newest era alone forbids it
        raise bad_request(
            "chat_template in the request is not allowed; start the server with "
            "--allow_request_chat_template"
        )


def _chat_prompt(values: Values) -> tuple[int, ...]:
    if values["prompt_token_ids"] is not None:
        return tuple(values["prompt_token_ids"])
    return tuple(
        render_chat(
            values["messages"],
            values["tools"] or (),
            open_turn=values["add_generation_prompt"],
        )
    )


def _truncated(prompt: Sequence[int], values: Values) -> tuple[int, ...]:
    limit = values["truncate_prompt_tokens"]
    return tuple(prompt[-limit:] if limit else prompt)


def _common(
    values: Values,
    max_tokens: int | None,
    prompts: Sequence[Sequence[int]],
    settings: Settings,
    rng: Random,
    *,
    script: tuple[int, ...] | None = None,
) -> dict[str, Any]:  # fmt: skip
    _check_sampling(values, max_tokens, settings)
    _check_prompts(prompts, settings)
    options: StreamOptions | None = values["stream_options"]
    n = values["n"]
    room = settings.max_seq_len - max(len(p) for p in prompts)
    samplings = tuple(
        _sampling(values, max_tokens, settings.max_seq_len - len(p), settings, rng, script)
        for p in prompts
    )
    return {
        "model": values["model"],
        "samplings": samplings,
        "n": n,
        "best_of": max(values["best_of"] or n, n),
        "stream": bool(values["stream"]),
        "include_usage": options is not None and bool(options.include_usage),
        "continuous_usage": options is not None
        and bool(options.include_usage and options.continuous_usage_stats),
        "late_refusal": _no_room(room, settings) if room <= 0 else None,
        "warnings": _clamping(max_tokens, room),
    }


def _clamping(max_tokens: int | None, room: int) -> tuple[str, ...]:
    if max_tokens is None or max_tokens <= room:
        return ()
    return (f"User-specified `max_tokens` ({max_tokens}) is larger than {room}; clamped",)


def _sampling(
    values: Values,
    max_tokens: int | None,
    room: int,
    settings: Settings,
    rng: Random,
    script: tuple[int, ...] | None,
) -> Sampling:
    stop = values["stop"]
    return Sampling(
        max_tokens=max(1, room if max_tokens is None else min(max_tokens, room)),
        seed=choose_seed(values["seed"], values["temperature"], rng),
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        stop_token_ids=tuple(values["stop_token_ids"] or ()),
        include_stop=values["include_stop_str_in_output"],
        ignore_eos=values["ignore_eos"],
        min_tokens=values["min_tokens"],
        reasoning=settings.reasoning_parser and "messages" in values,
        script=script if script is not None else _guided(values, settings),
    )


def _guided(values: Values, settings: Settings) -> tuple[int, ...] | None:
    wanted = values["response_format"]
    if wanted is None or wanted.type == "text":
        return None
    if not settings.guided_decoding:
        raise bad_request("Guided decoding is not enabled: set guided_decoding_backend")
    if wanted.type not in {"json", "json_object", "json_schema"}:
        raise bad_request(f"response_format {wanted.type!r} is not simulated")
    schema = wanted.schema_ or getattr(wanted, "json_schema", None) or {"type": "object"}
    value = sample(schema.get("schema", schema))
    return tuple(tokenize(json.dumps(value, ensure_ascii=False)))


def _check_sampling(values: Values, max_tokens: int | None, settings: Settings) -> None:
    n, best_of = values["n"], values["best_of"] or 1
    if max(n, best_of) > 1 and not settings.dialect.many_choices:
        raise bad_request("Multiple response is not supported in PyTorch workflow")
    if max(n, best_of) > settings.max_batch_size:
        raise bad_request(
            f"{max(n, best_of)} sequences exceed max_batch_size ({settings.max_batch_size})"
        )
    if n < 1:
        raise bad_request(f"require n >= 1, got n={n}")
    if max_tokens is not None and max_tokens < 1:
        raise NoTokensWanted(
            400, flat_error(f"max_tokens must be at least 1, got {max_tokens}")
        )
    _check_range("temperature", values["temperature"], 0, None)
    _check_range("top_p", values["top_p"], 0, 1)
    _check_range("top_k", values["top_k"], 0, None)
    disaggregated = values["disaggregated_params"]
    if disaggregated and disaggregated.request_type != "context_and_generation":
        raise bad_request("disaggregated serving is not simulated")


def _check_range(name: str, value: float | None, low: float, high: float | None) -> None:
    if value is None or (value >= low and (high is None or value <= high)):
        return
    bounds = f"{name} >= {low}" if high is None else f"{low} <= {name} <= {high}"
    raise bad_request(f"require {bounds}, got {name}={value}")


def _check_prompts(prompts: Sequence[Sequence[int]], settings: Settings) -> None:
    for prompt in prompts:
        if not prompt:
            raise bad_request("Prompt must not be empty")
        if any(token < 0 for token in prompt):
            raise bad_request("Token ids must not be negative")
        if len(prompt) > settings.max_num_tokens and not settings.chunked_prefill:
            raise too_long(len(prompt), settings.max_num_tokens)
    if not prompts:
        raise bad_request("Prompt must not be empty")


def too_long(prompt_tokens: int, max_num_tokens: int) -> Refused:
    """Refuse a prompt that does not fit into one iteration."""
    return bad_request(
        f"The sum of prompt length ({float(prompt_tokens)}), query length (0) should not "
        f"exceed max_num_tokens ({max_num_tokens})"
    )


def _no_room(room: int, settings: Settings) -> str:
    length = settings.max_seq_len
    return (
        f"`default_max_tokens` ({room}) must be greater than 0, `default_max_tokens` ({room}) "
        f"= max_seq_len ({length}) - `splited_prompt_len` ({length - room}) - "
        "`query_token_len` (0)"
    )
