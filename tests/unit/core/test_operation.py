import pytest

from gateway.core.fields import DIALECTS
from gateway.core.operation import OPERATIONS, POSTED, RESPONSE_ID, STORED


def test_no_two_kinds_share_a_name_or_a_method_and_path():
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
    routes = {(operation.method, operation.path) for operation in OPERATIONS}
    assert len(routes) == len(OPERATIONS)


def test_only_what_is_about_a_stored_response_has_its_id_in_the_path():
    assert {operation.method for operation in POSTED} == {"POST"}
    assert {operation.path.partition(RESPONSE_ID)[1] for operation in POSTED} == {""}
    assert {operation.path for operation in STORED} == {f"/v1/responses/{RESPONSE_ID}"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_a_kind_names_a_dialect_that_there_is(operation):
    assert operation.since in DIALECTS


def test_a_replica_is_asked_by_the_same_path_but_for_tokens():
    assert {o.name: o.route for o in OPERATIONS if o.route != o.path} == {
        "tokenize": "/_internal/tokenize"
    }
