"""How the gateway refuses what a replica refuses.

trtllm-serve has three shapes of errors and says 400 to nearly everything; the gateway has
OpenAI's one. It may refuse before a replica is asked, and it names the field: one that the
replica's message names or means, or, as a replica tells only the first of several, any other
that the replica refuses too.
"""

import json
import re

from gateway.core.field_tables import FIELDS
from gateway.core.refusal import message_of

_LOCATED = re.compile(r"'type': '(\w+)', 'loc': \('body', '(\w+)'(,?)")
_MEANT = (
    ("Multiple response", "unsupported_by_replica", {"n", "best_of"}),
    ("Guided decoding is not enabled", "unsupported_by_replica", {"response_format"}),
    ("is not simulated", "unsupported_by_replica", {"response_format", None}),
    ("only named tools", "unsupported_by_replica", {"tool_choice"}),
    ("disaggregated serving", "unsupported_by_replica", {"disaggregated_params", None}),
    ("chat_template in the request", "unsupported_by_replica", {"chat_template", None}),
    ("suffix is not supported", "unsupported_by_replica", {"suffix"}),
    ("logprobs is not supported", "unsupported_by_replica", {"logprobs", "top_logprobs"}),
    ("[Ss]tream.options", "invalid_request", {"stream_options"}),
    ("best_of should not be smaller", "invalid_request", {"best_of", "n"}),
    ("logprobs must be", "invalid_request", {"logprobs", "top_logprobs"}),
    ("`tools` must be set|found in provided tools", "invalid_request", {"tool_choice"}),
    ("max_tokens must be", "invalid_request", {"max_tokens", "max_completion_tokens"}),
    (r"require 0? ?<?=? ?(\w+)", "invalid_request", None),
    ("Prompt must not be empty|Token ids must not", "invalid_request", {"prompt", None}),
    ("Unknown part type", "invalid_request", {"messages"}),
    ("should not exceed max_num_tokens|default_max_tokens", "context_length_exceeded", {None}),
    ("JSON decode error|error parsing the body", "invalid_request", {None}),
)
"""What a message speaks of: for each a code, and the fields, any of which may be named."""


def error_of(answer):
    """Return an error in OpenAI's shape."""
    assert answer.kind == "application/json"
    (only,) = json.loads(answer.body).values()
    assert only.keys() == {"message", "type", "param", "code"}
    assert only["type"] == "invalid_request_error"
    assert only["message"]
    return only


def meant_by(answer, asked):
    """Return pairs of code and field with which a replica's refusal may be told."""
    message = message_of(answer.body)
    found = {
        (_code(kind, name, deeper, asked), name)
        for kind, name, deeper in _LOCATED.findall(message)
    }
    for pattern, code, names in _MEANT:
        match = re.search(pattern, message)
        if match:
            found |= {(code, name) for name in names or match.groups()}
    assert found, f"what does this mean? {message}"
    return found


def _code(kind, name, deeper, asked):
    lacking = kind == "extra_forbidden" and name in FIELDS[asked.kind] and not deeper
    newer = name == "tool_choice" and asked.values[name] == "required"
    return "unsupported_by_replica" if lacking or newer else "invalid_request"
