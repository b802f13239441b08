"""What an answer through the gateway may differ in from the replica's own, and nothing else.

Of every answer:

* ``id`` is the gateway's: one for the whole answer, of the same form. trtllm-serve gives each
  chunk another one (1.0 to 1.2), or numbers that other replicas use too (main).
* ``created`` is the gateway's, and the same in all chunks.
* ``model`` is what the client asked for. trtllm-serve says its own name where there are
  several prompts.

Of a stream:

* White space around an event's JSON: trtllm-serve puts a blank behind that of the role.
* The counts come once, as the last event before ``[DONE]``, or not at all where the client did
  not ask for them. For several prompts trtllm-serve counts each one, and the gateway adds up.
* The event with the counts is of the same ``object`` as the others. That of completions is a
  chat's before main.

Between two runs of one request, with or without a gateway, only one thing more differs: the
random ids of tool calls. All else is compared as it is written: the order of fields and the
spelling of numbers too. Errors are another matter: `tests.differential.refusals`.
"""

import re

from tests.differential.asked import CHUNKS, PREFIXES
from tests.differential.json_pairs import Number, Pairs, read

ANY_ID, ANY_TIME = "an id", "a time"
_OWN_ID = re.compile(r"(chatcmpl|cmpl)-[0-9a-f]{32}")
_TOOL_ID = re.compile(rb'"chatcmpl-tool-[0-9a-f]{32}"')
_DONE = "[DONE]"


def of_replica(answer, asked):
    """Return what the client must get for what the replica answers."""
    if not answer.is_stream:
        return _named(_read(answer.body), asked)
    *events, done = _events(answer)
    assert done == _DONE
    counts = [event for event in events if not event.get("choices")]
    said = [event for event in events if event.get("choices")]
    if counts and asked.wants_usage:
        total = counts[0].put(usage=_sum([each.get("usage") for each in counts]))
        said.append(total.put(object=CHUNKS[asked.kind]))
    return [*(_named(event, asked) for event in said), done]


def of_gateway(answer, asked):
    """Return what the client gets, with the same left out."""
    if not answer.is_stream:
        reply = _read(answer.body)
        _check_identity([reply], asked)
        return _named(reply, asked)
    *events, done = _events(answer)
    _check_identity(events, asked)
    return [*(_named(event, asked) for event in events), done]


def _check_identity(events, asked):
    ids, times, models = (
        {event.get(name) for event in events} for name in ("id", "created", "model")
    )
    assert len(ids) == len(times) == 1
    assert ids.pop().startswith(PREFIXES[asked.kind])
    assert models == {asked.values["model"]}


def _named(event, asked):
    return event.put(id=ANY_ID, created=ANY_TIME, model=asked.values["model"])


def _events(answer):
    *events, end = answer.body.split(b"\n\n")
    assert end == b"", f"more after the last event: {end!r}"
    assert all(event.startswith(b"data: ") for event in events), answer.body
    payloads = [event.removeprefix(b"data: ") for event in events]
    assert payloads.count(_DONE.encode()) == 1
    return [_DONE if each == _DONE.encode() else _read(each) for each in payloads]


def _read(text):
    return read(_TOOL_ID.sub(b'"a tool id"', text))


def _sum(counts):
    """Add up one usage for each prompt, field by field."""
    if isinstance(counts[0], Number):
        return Number(sum(map(int, counts)))
    return Pairs((name, _sum([each.get(name) for each in counts])) for name, _ in counts[0])
