"""Every field with every kind of value: what a replica's front takes, the gateway takes.

The replica is its schema and its checks, as the simulator has them, without sockets; so far
more spellings can be tried than in requests that are served.
"""

import json
from random import Random

import pytest

from backends.simulator.dialects import DIALECTS as RELEASES
from backends.simulator.errors import Refused, check_body
from backends.simulator.orders import chat_order, completion_order
from backends.simulator.schema import request_model
from backends.simulator.settings import Settings
from gateway.core.body import cut
from gateway.core.dialect import needs
from gateway.core.errors import GatewayError
from gateway.core.field_tables import FIELDS
from gateway.core.fields import DIALECTS
from gateway.core.operation import CHAT, COMPLETIONS
from gateway.core.request import parse
from gateway.core.snapshot import Limits
from tests.differential import stricter
from tests.differential.valid_values import TABLES

MODELS = {"completions": "CompletionRequest", "chat": "ChatCompletionRequest"}
ORDERS = {"completions": completion_order, "chat": chat_order}
BASE = {
    "completions": {"model": '"m"', "prompt": '"hi"'},
    "chat": {"model": '"m"', "messages": '[{"role":"user","content":"hi"}]'},
}
COMPANIONS = {
    "stream_options": ',"stream":true',
    "tool_choice": f',"tools":{TABLES["chat"]["tools"][0]}',
    "top_logprobs": ',"logprobs":true',
}
"""What a field makes sense with."""
NUMBERS = [
    "0", "-0", "1", "2", "-1", "0.5", "1.0", "1e0", "10E-1", "-0.0", "0.0", "5e0", "100",
    "101", "1e308", "1e400", "2147483647", "2147483648", "3000000000", "9007199254740991",
    "9223372036854775807", "9223372036854775808", "18446744073709551615",
    "123456789012345678901234567890", "NaN", "Infinity",
]  # fmt: skip
STRINGS = ["", "5", "5.0", " 5 ", "0.5", "1_0", "true", "TRUE", "yes", "on", "off", "a", "auto"]
OTHERS = [
    "null", "true", "false", "[]", "{}", '["a"]', "[1]", "[1.0]", "[true]", '["1"]', "[-1]",
    "[null]", '[""]', '[1,"a"]', "[[1]]", "[[1.0]]", "[[]]", '{"a":1}', '{"1":0.5}',
    '{"1":"0.5"}', '{"include_usage":"yes"}', '{"include_usage":1.0}',
]  # fmt: skip
VALUES = [*NUMBERS, *map(json.dumps, STRINGS), *OTHERS]


def body_with(operation, field, text):
    fields = BASE[operation] | {field: text}
    pairs = ",".join(f'"{name}":{value}' for name, value in fields.items())
    return f"{{{pairs}{COMPANIONS.get(field, '')}}}".encode()


def settings_of(release):
    return Settings(
        model="m",
        dialect=release,
        max_seq_len=10_000,
        max_num_tokens=8192,
        max_batch_size=16,  # as many as the gateway serves unless it is told to serve more
        guided_decoding=True,
        tool_parser=True,
        chat_template_in_request=True,
    )


def replica_takes(operation, body, release):
    model = request_model(MODELS[operation], release.era)
    try:
        values = check_body(body, model, release, "/")
        ORDERS[operation](values, settings_of(release), Random(1))
    except (Refused, OverflowError):
        return False
    return True


def gateway_takes(operation, body, place):
    try:
        request = parse(operation, cut(body, depth=64), Limits(), scopes=None)
    except GatewayError:
        return False
    return needs(request)[0] <= place


def refused_only_here(operation, place):
    """Return fields and texts that the replica takes and the gateway does not."""
    release = RELEASES[DIALECTS[place]]
    return [
        (field, text)
        for field in FIELDS[operation.name]
        for text in [*VALUES, *TABLES[operation.name].get(field, ())]
        if replica_takes(operation.name, body_with(operation.name, field, text), release)
        and not gateway_takes(operation, body_with(operation.name, field, text), place)
    ]


@pytest.mark.parametrize("place", range(len(DIALECTS)), ids=DIALECTS)
@pytest.mark.parametrize("operation", [CHAT, COMPLETIONS], ids=lambda each: each.name)
def test_what_a_replica_takes_the_gateway_takes(operation, place):
    refused = refused_only_here(operation, place)
    assert [each for each in refused if stricter.reason(*each) is None] == []


def test_each_reason_to_be_stricter_is_one_that_holds():
    given = {
        stricter.reason(*each)
        for operation in (CHAT, COMPLETIONS)
        for place in range(len(DIALECTS))
        for each in refused_only_here(operation, place)
    }
    assert given == set(stricter.REASONS)
