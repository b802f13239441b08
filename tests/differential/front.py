"""What a replica says to a body before it generates anything, as the simulator knows it."""

import json
from random import Random

from backends.simulator.dialects import DIALECTS as RELEASES
from backends.simulator.errors import Refused, check_body
from backends.simulator.orders import chat_order, completion_order
from backends.simulator.schema import request_model
from backends.simulator.settings import Settings
from tests.differential.edits import LIMITS, NEVER_NULL, SAYS_NOTHING, SCHEMAS

_ORDERS = {"completions": completion_order, "chat": chat_order}


def takes(kind, body, dialect):
    """Say whether a replica of ``dialect`` would answer the JSON text ``body``."""
    release = RELEASES[dialect]
    settings = Settings(
        model="m",
        dialect=release,
        max_seq_len=10_000,
        max_num_tokens=8192,
        max_batch_size=16,  # as many as the gateway serves unless it is told to serve more
        guided_decoding=dialect != "1.0",
        tool_parser=True,
        chat_template_in_request=True,
    )
    try:
        values = check_body(body, request_model(SCHEMAS[kind], release.era), release, "/")
        _ORDERS[kind](values, settings, Random(1))
    except (Refused, OverflowError):
        return False
    return True


def takes_most(kind, fields, dialect):
    """Say so of a body of ``fields`` without those that do not matter."""
    values = {name: json.loads(text) for name, text in fields}
    for name in {*values} & SAYS_NOTHING[dialect]:
        del values[name]
    for name in [name for name, value in values.items() if value is None]:
        if name in NEVER_NULL:
            del values[name]
    if values.keys() >= {*LIMITS} or kind == "completions":
        values.pop(LIMITS[0], None)
    return takes(kind, json.dumps(values).encode(), dialect)
