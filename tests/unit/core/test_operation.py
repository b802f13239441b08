import pytest

from gateway.core.fields import DIALECTS
from gateway.core.operation import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    MESSAGES,
    RESPONSES,
    TOKENIZE,
)

EVERY = (CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS, MESSAGES, TOKENIZE)


def test_no_two_kinds_share_a_name_or_a_path():
    assert len({operation.name for operation in EVERY}) == len(EVERY)
    assert len({operation.path for operation in EVERY}) == len(EVERY)


@pytest.mark.parametrize("operation", EVERY, ids=lambda operation: operation.name)
def test_a_kind_names_a_dialect_that_there_is(operation):
    assert operation.since in DIALECTS


def test_a_replica_is_asked_by_the_same_path_but_for_tokens():
    assert {o.name: o.route for o in EVERY if o.route != o.path} == {
        "tokenize": "/_internal/tokenize"
    }
