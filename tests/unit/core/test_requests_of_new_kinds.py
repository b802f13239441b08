"""What of a request of the newer kinds is understood, refused, and sent on."""

import json

import pytest

from gateway.core.dialect import body_for, needs, unsupported, with_max_tokens
from gateway.core.errors import InvalidRequest, PermissionDenied, UnsupportedByReplica
from gateway.core.fields import NEVER
from gateway.core.operation import EMBEDDINGS, MESSAGES, POSTED, RESPONSES, RETRIEVE, TOKENIZE
from gateway.core.response_id import StoredResponse
from gateway.core.snapshot import Limits
from gateway.core.stored import about, following
from tests.unit.core.transcripts import request
from tests.unit.core.typed_transcripts import PEPPER, REPLICA, SEALED_ID, UPSTREAM_ID

TURN = {"role": "user", "content": "hi"}
BASE = {
    RESPONSES: {"model": "m", "input": "hi"},
    EMBEDDINGS: {"model": "m", "input": "hi"},
    MESSAGES: {"model": "m", "messages": [TURN], "max_tokens": 9},
    TOKENIZE: {"model": "m", "prompt": "hi"},
}
every = pytest.mark.parametrize("operation", BASE, ids=lambda operation: operation.name)


def asked(operation, *, limits=None, scopes=None, without=(), **fields):
    body = BASE[operation] | fields
    for name in without:
        del body[name]
    return request(json.dumps(body).encode(), operation=operation, limits=limits, scopes=scopes)


def sent(parsed, dialect="main"):
    return json.loads(b"".join(body_for(parsed, source="source", dialect=dialect)))


@every
def test_a_plain_request_goes_out_as_it_came(operation):
    parsed = asked(operation)
    assert sent(parsed) == BASE[operation] | {"model": "source"}
    assert (parsed.prompts, parsed.choices, parsed.stream) == (1, 1, False)
    assert needs(parsed)[1] is None
    assert parsed.route == operation.route


@pytest.mark.parametrize("operation", POSTED, ids=lambda operation: operation.name)
def test_every_kind_names_its_prompt_when_it_is_missing(operation):
    first = operation.prompt[0]
    for body in (b'{"model":"m"}', b'{"model":"m","%b":null}' % first.encode()):
        with pytest.raises(InvalidRequest) as refused:
            request(body, operation=operation)
        assert (refused.value.param, str(refused.value)) == (
            first,
            f'field "{first}" is missing',
        )


@pytest.mark.parametrize(
    ("operation", "fields", "length"),
    [
        (RESPONSES, {"input": "abc", "instructions": "de"}, 9),
        (RESPONSES, {"input": [TURN], "instructions": None}, len(json.dumps([TURN]))),
        (MESSAGES, {"system": "de"}, len(json.dumps([TURN])) + 4),
        (EMBEDDINGS, {"input": "abc"}, 5),
        (TOKENIZE, {"prompt": "null"}, 6),
    ],
)
def test_all_that_is_read_before_the_answer_counts_as_prompt(operation, fields, length):
    assert asked(operation, **fields).prompt_bytes == length


@pytest.mark.parametrize(
    ("operation", "fields", "param"),
    [
        (RESPONSES, {"input": []}, "input"),
        (RESPONSES, {"input": 7}, "input"),
        (MESSAGES, {"messages": []}, "messages"),
        (MESSAGES, {"messages": [{}]}, "messages"),
        (EMBEDDINGS, {"input": []}, "input"),
        (EMBEDDINGS, {"input": {"text": "x"}}, "input"),
        (EMBEDDINGS, {"input": ["a", [1]]}, "input"),
        (EMBEDDINGS, {"input": ["a", "b", "c"]}, "input"),
        (TOKENIZE, {"prompt": ["a"]}, "prompt"),
        (EMBEDDINGS, {"stream": True}, "stream"),
        (TOKENIZE, {"stream": True}, "stream"),
    ],
)
def test_what_is_no_prompt_of_its_kind_is_refused(operation, fields, param):
    with pytest.raises(InvalidRequest) as refused:
        asked(operation, limits=Limits(prompts=2), **fields)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("given", "count"), [("a", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1], [2], [3]], 3)]
)
def test_each_input_gets_an_embedding(given, count):
    assert asked(EMBEDDINGS, input=given).prompts == count


@pytest.mark.parametrize("missing", [{"max_tokens": None}, {"max_tokens": "null"}])
def test_a_message_must_say_how_long_it_may_get(missing):
    with pytest.raises(InvalidRequest, match='"max_tokens" is missing'):
        asked(MESSAGES, **missing)
    with pytest.raises(InvalidRequest, match='"max_tokens" is missing'):
        asked(MESSAGES, without=["max_tokens"])


def test_nothing_is_served_in_the_background():
    assert "background" not in sent(asked(RESPONSES, background=False))
    with pytest.raises(UnsupportedByReplica):
        asked(RESPONSES, background=True)


@pytest.mark.parametrize(
    ("operation", "name"), [(RESPONSES, "max_output_tokens"), (MESSAGES, "max_tokens")]
)
def test_the_limit_of_tokens_goes_by_its_kinds_name(operation, name):
    limited = with_max_tokens(asked(operation), 7)
    own = 9 if operation is MESSAGES else 7
    assert (limited.max_tokens, sent(limited)[name]) == (own, own)
    assert sent(with_max_tokens(asked(operation, **{name: 3}), 7))[name] == 3


@pytest.mark.parametrize("operation", [EMBEDDINGS, TOKENIZE])
def test_nothing_that_generates_no_tokens_is_limited(operation):
    parsed = asked(operation)
    assert with_max_tokens(parsed, 7) is parsed


@pytest.mark.parametrize("operation", [RESPONSES, MESSAGES])
def test_a_stream_of_events_counts_its_tokens_unasked(operation):
    parsed = asked(operation, stream=True)
    assert parsed.stream
    assert sent(parsed) == BASE[operation] | {"model": "source", "stream": True}


def test_unknown_fields_go_on_where_replicas_take_them_and_are_left_out_before():
    odd = {'a "new" field': {"x": [1]}, "max_tokens": 5, "max_completion_tokens": 6, "n": 7}
    parsed = asked(RESPONSES, **odd)
    assert (parsed.max_tokens, parsed.choices) == (None, 1)
    assert sent(parsed) == BASE[RESPONSES] | {"model": "source"} | odd
    assert sent(parsed, "1.2") == BASE[RESPONSES] | {"model": "source"}
    assert needs(parsed) == (1, None)


@pytest.mark.parametrize("operation", [EMBEDDINGS, TOKENIZE])
def test_elsewhere_an_unknown_field_is_a_mistake(operation):
    with pytest.raises(InvalidRequest, match="unknown field"):
        asked(operation, odd=1)


def test_a_field_that_reaches_into_the_replica_needs_its_scope():
    with pytest.raises(PermissionDenied):
        asked(RESPONSES, lora_request={"lora_name": "x"}, scopes=frozenset())
    scopes = frozenset({"lora_request"})
    assert "lora_request" in sent(asked(RESPONSES, lora_request={}, scopes=scopes))


@pytest.mark.parametrize(
    ("parsed", "oldest", "field"),
    [
        (asked(RESPONSES), 1, None),
        (asked(RESPONSES, tool_choice="required"), 1, None),
        (asked(RESPONSES, thinking_token_budget=1), 3, "thinking_token_budget"),
        (asked(RESPONSES, conversation="c"), NEVER, "conversation"),
        (asked(EMBEDDINGS), 3, None),
        (asked(MESSAGES, container={}), NEVER, "container"),
        (about(RETRIEVE, "m", StoredResponse(REPLICA, UPSTREAM_ID)), 2, None),
    ],
)
def test_a_kind_needs_a_release_that_has_it(parsed, oldest, field):
    assert needs(parsed) == (oldest, field)
    refused = unsupported(parsed, field, ["1.0"])
    assert (refused.param, refused.code) == (field, "unsupported_by_replica")
    assert (parsed.operation.path if field is None else field) in str(refused)


def test_the_response_before_goes_by_its_replicas_name():
    parsed = asked(RESPONSES, previous_response_id=SEALED_ID)
    followed = following(parsed, key_id="key", pepper=PEPPER)
    assert sent(followed)["previous_response_id"] == UPSTREAM_ID
    assert followed.route == "/v1/responses"


def test_what_is_about_a_stored_response_has_no_body():
    stored = about(RETRIEVE, "m", StoredResponse(REPLICA, UPSTREAM_ID))
    assert body_for(stored, source="source", dialect="main") == ()
