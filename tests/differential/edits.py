"""What may differ between the body that a client sends and the one that its replica gets.

* ``model`` is the replica's own name for it, wherever it stands.
* Left out is what trtllm-serve would refuse and the answer does not depend on: `SAYS_NOTHING`,
  nulls of `NEVER_NULL`, and nulls of fields that the release does not know.
* There is one limit of tokens. Of ``max_tokens`` and ``max_completion_tokens`` the newer counts
  if both are set; completions know ``max_tokens`` only.
* A stream asks for its counts: ``stream_options`` has ``include_usage``, and running counts
  only if the client asked for both, since they come with the others or not at all.

All else is there in the same order and in the same bytes, repeated fields too. What is new
stands at the end. Where nothing has to change, the body is the client's to the last byte, but
for a mark of the byte order before it.
"""

import json
from codecs import BOM_UTF8

from backends.simulator.schema import accepted_fields
from gateway.core.fields import DIALECTS

MARK = BOM_UTF8
NEVER = {
    "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key",
    "prompt_cache_retention", "prediction", "verbosity", "cache_salt",
}  # fmt: skip
"""What OpenAI knows and says nothing about the answer; a cache salt is the gateway's own."""
SAYS_NOTHING = {
    "1.0": NEVER | {"parallel_tool_calls", "reasoning_effort"},
    "1.1": NEVER | {"parallel_tool_calls"},
    "1.2": NEVER | {"parallel_tool_calls"},
    "main": NEVER,
}
NEVER_NULL = {
    "n", "use_beam_search", "top_k", "top_p_min", "min_p", "repetition_penalty",
    "length_penalty", "early_stopping", "include_stop_str_in_output", "ignore_eos",
    "min_tokens", "skip_special_tokens", "detokenize", "spaces_between_special_tokens",
    "add_special_tokens", "return_context_logits", "add_generation_prompt",
}  # fmt: skip
"""Fields that have no null; OpenAI means by it that they were not given."""
LIMITS = ("max_completion_tokens", "max_tokens")
_ERAS = dict(zip(DIALECTS, "ABCE", strict=True))
_MODELS = {"completions": "CompletionRequest", "chat": "ChatCompletionRequest"}


def check(asked, sent, got, *, dialect, source):
    """Fail if ``got`` differs from ``sent`` in more than the documented."""
    left = _without(asked, sent, dialect)
    new = dict(got[len(left) :])
    assert len(new) == len(got) - len(left), f"repeated at the end: {got}"
    for (name, was), (same, text) in zip(left, got, strict=False):
        assert same == name, f"{same} stands where {name} should"
        if name == "model":
            assert json.loads(text) == source
        elif name != "stream_options" or not asked.values.get("stream"):
            assert text == was, f"{name} was {was} and is {text}"
    if asked.values.get("stream") and "stream_options" in asked.values:
        _check_options(asked, dict(left)["stream_options"], dict(got)["stream_options"])
    _check_new(asked, dict(sent), new)


def _without(asked, sent, dialect):
    """Return the fields of ``sent`` that must be there."""
    known = accepted_fields(_MODELS[asked.kind], _ERAS[dialect])
    gone = set(SAYS_NOTHING[dialect])
    gone |= {n for n, v in asked.values.items() if v is None and n in NEVER_NULL}
    gone |= {n for n, v in asked.values.items() if v is None and n not in known}
    gone |= _limits_gone(asked)
    return [(name, text) for name, text in sent if name not in gone]


def _limits_gone(asked):
    newer, older = LIMITS
    if newer not in asked.values:
        return set()
    given = asked.values[newer] is not None
    if asked.kind == "completions":
        return {newer, older} if given else {newer}
    if older not in asked.values:
        return set()
    return {older} if given else {newer}


def _check_options(asked, was, text):
    wanted = {"include_usage": True}
    if asked.wants_usage and asked.values["stream_options"].get("continuous_usage_stats"):
        wanted["continuous_usage_stats"] = True
    options = {"include_usage": True} | json.loads(text)
    assert {name: value for name, value in options.items() if value} == wanted
    if asked.wants_usage and json.loads(was).keys() <= wanted.keys():
        assert text == was


def _check_new(asked, sent, new):
    values = asked.values
    if values.get("stream") and "stream_options" not in values:
        assert json.loads(new.pop("stream_options")) == {"include_usage": True}
    if asked.kind == "completions" and values.get("max_completion_tokens") is not None:
        assert new.pop("max_tokens") == sent["max_completion_tokens"]
    assert new == {}, f"nobody asked for {new}"
