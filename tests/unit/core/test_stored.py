import json

import pytest

from backends.replica import ReplicaId
from gateway.core.errors import NoReplica, ResponseNotFound
from gateway.core.operation import DELETE, RESPONSES, RETRIEVE
from gateway.core.response_id import StoredResponse, encode
from gateway.core.snapshot import FleetSnapshot, ModelView, ReplicaView
from gateway.core.stored import about, following, keeper, model_of
from tests.unit.core.transcripts import completion, request
from tests.unit.core.typed_transcripts import PEPPER, SEALED_ID, UPSTREAM_ID


def view(name):
    return ReplicaView(ReplicaId(name), "h", 1, "source", "main", 0)


A = ModelView("a", 1, replicas=(view("r0"), view("r1")), ejected=(view("r5"),))
B = ModelView("b", 1, replicas=(view("r2"),), away=(ReplicaId("r3"),))
SNAPSHOT = FleetSnapshot(version=1, models={"a": A, "b": B})


def kept_by(name):
    return StoredResponse(ReplicaId(name), UPSTREAM_ID)


def asked(**fields):
    body = {"model": "m", "input": "x"} | fields
    return request(json.dumps(body).encode(), operation=RESPONSES)


def followed(sent, key_id="key"):
    return following(sent, key_id=key_id, pepper=PEPPER)


def test_a_request_that_goes_on_refers_to_the_response_before():
    got = followed(asked(previous_response_id=SEALED_ID))
    assert got.refers_to == kept_by("r0")


@pytest.mark.parametrize("sent", [asked(), asked(previous_response_id=None), completion()])
def test_any_other_request_refers_to_none(sent):
    assert followed(sent) is sent


@pytest.mark.parametrize("name", [UPSTREAM_ID, "", SEALED_ID[:-1], "x" * 5000, "\ud83d\ude00"])
def test_an_id_that_the_key_was_not_given_is_told_by_its_field(name):
    with pytest.raises(ResponseNotFound) as unknown:
        followed(asked(previous_response_id=name))
    assert unknown.value.param == "previous_response_id"
    with pytest.raises(ResponseNotFound) as foreign:
        followed(asked(previous_response_id=SEALED_ID), key_id="other")
    assert str(foreign.value) == str(unknown.value)


@pytest.mark.parametrize(
    ("upstream_id", "route"),
    [
        (UPSTREAM_ID, f"/v1/responses/{UPSTREAM_ID}"),
        ("../../update_weights", "/v1/responses/..%2F..%2Fupdate_weights"),
        ("x HTTP/1.1\r\nhost: y", "/v1/responses/x%20HTTP%2F1.1%0D%0Ahost%3A%20y"),
        ("a?b#c", "/v1/responses/a%3Fb%23c"),
    ],
)
@pytest.mark.parametrize("operation", [RETRIEVE, DELETE])
def test_no_id_of_a_replica_leads_to_another_route(operation, upstream_id, route):
    asked = about(operation, "m", StoredResponse(ReplicaId("r0"), upstream_id))
    assert asked.route == route


def test_what_a_sealed_id_is_for_does_not_depend_on_which_other_ids_there_are():
    names = {encode(kept_by(name), key_id="key", pepper=PEPPER) for name in ("r0", "r1")}
    assert len(names) == 2


def test_the_model_of_a_response_is_that_of_its_replica():
    assert model_of(SNAPSHOT, kept_by("r1")) is A
    assert model_of(SNAPSHOT, kept_by("r2")) is B
    assert model_of(SNAPSHOT, kept_by("r3")) is B
    with pytest.raises(ResponseNotFound, match="is lost"):
        model_of(SNAPSHOT, kept_by("r4"))


def test_the_keeper_is_the_one_replica_that_answered():
    sent = about(RETRIEVE, "a", kept_by("r1"))
    assert keeper(sent, kept_by("r1"), A) is A.replicas[1]


def test_a_keeper_that_is_ejected_is_still_the_only_one_to_ask():
    assert model_of(SNAPSHOT, kept_by("r5")) is A
    assert keeper(about(RETRIEVE, "a", kept_by("r5")), kept_by("r5"), A) is A.ejected[0]


def test_a_keeper_that_may_come_back_is_waited_for():
    with pytest.raises(NoReplica) as away:
        keeper(about(RETRIEVE, "b", kept_by("r3")), kept_by("r3"), B)
    assert away.value.retry_after_s == 2


@pytest.mark.parametrize(
    ("sent", "param"),
    [(asked(), "previous_response_id"), (about(DELETE, "b", kept_by("r1")), None)],
)
def test_a_response_of_another_model_or_of_a_replica_that_is_gone_is_not_found(sent, param):
    with pytest.raises(ResponseNotFound, match='no replica of model "b" keeps') as gone:
        keeper(sent, kept_by("r1"), B)
    assert gone.value.param == param
