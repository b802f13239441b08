"""The table against the server's own schema, as the simulator imitates it."""

import pytest
from pydantic import ValidationError

from backends.simulator.schema import accepted_fields, request_model
from gateway.core.field_tables import ACCEPTED, COMMON, FIELDS, SCOPED
from gateway.core.fields import DIALECTS
from gateway.core.fields_responses import REACHING_IN
from gateway.core.operation import POSTED
from tests.unit.core.test_dialect import BASE

ERAS = dict(zip(DIALECTS, "ABCE", strict=True))
MODELS = {"completions": "CompletionRequest", "chat": "ChatCompletionRequest"}
UNSURE = {("chat", "detokenize")}
"""It is not known whether releases have it: one that does not refuses it by name."""
WHOLE = {"model", "prompt", "messages"}
cases = pytest.mark.parametrize(
    ("operation", "place"), [(name, place) for name in MODELS for place in range(len(DIALECTS))]
)


def schema_of(operation, place):
    return request_model(MODELS[operation], ERAS[DIALECTS[place]])


def known_to(operation, place):
    return accepted_fields(MODELS[operation], ERAS[DIALECTS[place]])


@cases
def test_each_release_accepts_the_fields_that_the_table_says(operation, place):
    table = FIELDS[operation]
    said = {
        name
        for name, field in table.items()
        if field.since <= place and (operation, name) not in UNSURE
    }
    # No client's salt is passed on, though releases know the field.
    assert said == set(known_to(operation, place)) - {"cache_salt"}


@cases
def test_null_is_a_value_where_the_table_says(operation, place):
    schema = schema_of(operation, place)
    for name in known_to(operation, place) - WHOLE:
        body = BASE[operation] | {name: None}
        try:
            schema.model_validate(body)
        except ValidationError:
            accepted = False
        else:
            accepted = True
        assert FIELDS[operation][name].nullable == accepted, name


LATER = {
    "responses": "ResponsesRequest",
    "messages": "MessagesRequest",
    "embeddings": "EmbeddingRequest",
    "tokenize": "TokenizeRequest",
}
KEPT_BACK = {"background", "prompt", "request_id", "service_tier", "user"}
"""Fields that releases know and no client's reaches them: see the tables for why of each."""
UNSEEN = {"betas", "context_management", *REACHING_IN}
"""What a release takes without knowing it."""


@pytest.mark.parametrize("operation", LATER)
def test_the_later_endpoints_take_what_their_schema_says(operation):
    since = next(op.since for op in POSTED if op.name == operation)
    for place in range(DIALECTS.index(since), len(DIALECTS)):
        known = set(accepted_fields(LATER[operation], ERAS[DIALECTS[place]]))
        said = {name for name, field in FIELDS[operation].items() if field.since <= place}
        assert said - known <= UNSEEN
        assert known - said <= KEPT_BACK


@pytest.mark.parametrize("operation", FIELDS)
def test_common_are_the_fields_that_every_key_may_send_and_every_release_takes(operation):
    everywhere = frozenset.intersection(*ACCEPTED[operation])
    assert COMMON[operation] == everywhere - SCOPED[operation]
    assert "model" in COMMON[operation]
