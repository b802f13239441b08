"""Stored responses: whose they are, where they are, and that no other replica is asked."""

import json

import pytest

from backends.replica import ReplicaId
from gateway.core.keys import digest_key
from gateway.core.outcome import Outcome
from gateway.core.response_id import StoredResponse, decode, encode
from gateway.core.snapshot import KeyView, ModelView, Retries
from tests.fakes.replica import Step, answering, reply
from tests.gateway.data_gateway import gateway_over
from tests.gateway.kinds import RESPONSES, as_json, wire
from tests.unit.core.typed_transcripts import UPSTREAM_ID, events, response

pytestmark = pytest.mark.anyio

PEPPER = b"p" * 32
SECRETS = {"mine": b"my-own-secret-0123456789", "other": b"other-secret-0123456789"}
KEYED = {
    "keys": {
        digest_key(SECRETS["mine"], PEPPER): KeyView("mine", "t"),
        digest_key(SECRETS["other"], PEPPER): KeyView("other", "t"),
    },
    "key_pepper": PEPPER,
}
DELETED = {"id": UPSTREAM_ID, "object": "response", "deleted": True}
UPSTREAM = f"/v1/responses/{UPSTREAM_ID}"


def bearer(name):
    return {"authorization": f"Bearer {SECRETS[name].decode()}"}


def sealed(replica="r0", *, key="mine", upstream=UPSTREAM_ID):
    stored = StoredResponse(ReplicaId(replica), upstream)
    return encode(stored, key_id=key, pepper=PEPPER)


def keeping(*scripts, dialect="main"):
    return answering(*scripts, dialect=dialect)


async def ask(gateway, method, response_id, *, key="mine"):
    path = f"/v1/responses/{response_id}"
    return await gateway.post(b"", path, method=method, headers=bearer(key))


async def go_on(gateway, response_id, *, key="mine", **fields):
    body = RESPONSES.body(previous_response_id=response_id, **fields)
    return await gateway.post(body, RESPONSES.path, headers=bearer(key))


async def test_a_response_is_made_fetched_gone_on_from_and_deleted_where_it_is_kept():
    other = keeping([reply(as_json(response()))])
    kept = keeping(
        [RESPONSES.reply],
        [reply(as_json(response()))],
        [reply(as_json(response(id="resp_2", previous_response_id=UPSTREAM_ID)))],
        [reply(as_json(DELETED))],
    )
    async with gateway_over(kept, other, known=KEYED) as gateway:
        gateway.leases.open[1] += 1
        made = await gateway.post(RESPONSES.body(), RESPONSES.path, headers=bearer("mine"))
        gateway.leases.open.update({0: 5, 1: -1})  # from here on the other one is less busy
        given = json.loads(made.body)["id"]
        assert decode(given, key_id="mine", pepper=PEPPER).upstream_id == UPSTREAM_ID
        fetched = await ask(gateway, "GET", given)
        assert json.loads(fetched.body) == json.loads(made.body)
        following = json.loads((await go_on(gateway, given)).body)
        assert following["previous_response_id"] == given
        assert following["id"] != given
        gone = await ask(gateway, "DELETE", given)
        assert json.loads(gone.body) == DELETED | {"id": given}
        gateway.leases.open.subtract({0: 5})
        assert kept.asked == [
            "POST /v1/responses",
            f"GET {UPSTREAM}",
            "POST /v1/responses",
            f"DELETE {UPSTREAM}",
        ]
        assert kept.requests[2][1]["previous_response_id"] == UPSTREAM_ID
        assert other.requests == []
        assert [facts.operation for facts in gateway.recorder.facts] == [
            "responses", "responses_get", "responses", "responses_delete"
        ]  # fmt: skip
        assert {facts.outcome for facts in gateway.recorder.facts} == {Outcome.OK}
        assert gateway.recorder.running == 4
        assert (gateway.facts.model, gateway.facts.key_id) == ("m", "mine")
        assert gateway.facts.attempts[0].replica == "r0"


async def test_a_streamed_response_is_fetched_by_the_id_in_its_events():
    kept = keeping([RESPONSES.answer], [RESPONSES.reply])
    async with gateway_over(kept, known=KEYED) as gateway:
        made = await gateway.post(RESPONSES.streamed, RESPONSES.path, headers=bearer("mine"))
        (given,) = {e["response"]["id"] for e in events(made.body) if "response" in e}
        fetched = await ask(gateway, "GET", given)
        assert json.loads(fetched.body) == events(made.body)[-1]["response"] | {"model": "m"}


FOREIGN = {
    "another key's": sealed(key="other"),
    "the replica's own": UPSTREAM_ID,
    "no id": "resp_1",
    "cut": sealed()[:-1],
    "longer": sealed() + "A",
    "changed": sealed()[:-2] + ("AA" if not sealed().endswith("AA") else "BB"),
    "odd": "resp_%F0%9F%98%80",
    "long": "resp_" + "A" * 4000,
}


@pytest.mark.parametrize("given", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_nobody_is_told_anything_of_a_response_that_is_not_theirs(method, given):
    kept = keeping([RESPONSES.reply])
    async with gateway_over(kept, known=KEYED) as gateway:
        if method == "POST":
            client = await go_on(gateway, given)
        else:
            client = await ask(gateway, method, given)
        assert (client.status, client.error["code"]) == (404, "not_found")
        assert client.error["message"] == (
            "there is no stored response with this id, or this key may not use it"
        )
        assert client.error["param"] == ("previous_response_id" if method == "POST" else None)
        assert kept.requests == []
        assert gateway.facts.outcome is Outcome.CLIENT_ERROR


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_without_a_key_nothing_is_told(method):
    async with gateway_over(keeping(), known=KEYED) as gateway:
        client = await gateway.post(b"", f"/v1/responses/{sealed()}", method=method)
        assert (client.status, client.error["code"]) == (401, "invalid_api_key")


async def test_a_key_that_lost_its_model_lost_its_responses_too():
    keys = {digest_key(SECRETS["mine"], PEPPER): KeyView("mine", "t", models=("other",))}
    kept = keeping([RESPONSES.reply])
    async with gateway_over(kept, known=KEYED | {"keys": keys}) as gateway:
        client = await ask(gateway, "GET", sealed())
        assert (client.status, client.error["code"]) == (404, "not_found")
        assert kept.requests == []


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_a_response_whose_replica_is_gone_is_lost_and_that_is_said(method):
    other = keeping([RESPONSES.reply])
    async with gateway_over(other, known=KEYED) as gateway:
        given = sealed("gone")
        client = await (
            go_on(gateway, given) if method == "POST" else ask(gateway, method, given)
        )
        assert (client.status, client.error["code"]) == (404, "not_found")
        assert "is gone" in client.error["message"]
        assert '"gone"' not in client.error["message"]
        assert client.error["param"] == ("previous_response_id" if method == "POST" else None)
        assert other.requests == []


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_a_response_whose_replica_may_come_back_is_worth_another_try(method):
    other = keeping([RESPONSES.reply])
    async with gateway_over(other, known=KEYED, away=(ReplicaId("away"),)) as gateway:
        given = sealed("away")
        client = await (
            go_on(gateway, given) if method == "POST" else ask(gateway, method, given)
        )
        assert (client.status, client.error["code"]) == (503, "no_replica")
        assert client.headers[b"retry-after"] == b"2"
        assert b"x-should-retry" not in client.headers
        assert other.requests == []
        assert gateway.facts.rejection == "no_replica"


async def test_a_response_of_another_model_cannot_be_gone_on_from():
    kept, other = keeping([RESPONSES.reply]), keeping([RESPONSES.reply])
    async with gateway_over(kept, other, known=dict(KEYED)) as gateway:
        models = {
            name: ModelView(name, 1, replicas=(replica.view,))
            for name, replica in (("m", kept), ("n", other))
        }
        gateway.known["models"] = models
        gateway.publish()
        client = await go_on(gateway, sealed("r1"))
        assert (client.status, client.error["param"]) == (404, "previous_response_id")
        assert "another model made it" in client.error["message"]
        assert kept.requests == other.requests == []
        fetched = await ask(gateway, "GET", sealed("r1"))
        assert (fetched.status, json.loads(fetched.body)["model"]) == (200, "n")


FAULTS = {
    "closed": [Step.CLOSE],
    "500": [reply(b"{}", 500)],
    "busy": [reply(b"{}", 429)],
    "null": [reply(b"null")],
    "no stream": [wire(b"data: garbage\n\n")],
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "streamed"])
async def test_no_other_replica_is_asked_for_what_only_one_keeps(method, fault):
    bad, other = keeping(fault), keeping([RESPONSES.reply])
    async with gateway_over(bad, other, known=KEYED, retries=Retries(attempts=5)) as gateway:
        if method in {"GET", "DELETE"}:
            client = await ask(gateway, method, sealed())
        else:
            client = await go_on(gateway, sealed(), stream=method == "streamed")
        assert client.status in {502, 503}
        assert client.error["message"].endswith(
            "; no other was asked, since only this one keeps the response"
        )
        assert (len(bad.requests), len(other.requests)) == (1, 0)
        assert gateway.failed == ["r0"]
        assert not gateway.facts.retries_exhausted


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, f"Response with id '{UPSTREAM_ID}' not found."),
        (400, "Response storage is disabled"),
    ],
)
async def test_what_a_replica_does_not_keep_is_told_without_its_own_words(status, message):
    kept = keeping([reply(as_json({"object": "error", "message": message}), status)])
    async with gateway_over(kept, known=KEYED) as gateway:
        fetched = await ask(gateway, "GET", sealed())
        assert (fetched.status, fetched.error["param"]) == (status, None)
        assert UPSTREAM_ID not in fetched.error["message"]
        following = await go_on(gateway, sealed())
        assert following.status == status
        assert following.error["param"] == "previous_response_id"
        assert gateway.failed == []


async def test_a_release_that_keeps_nothing_is_not_asked():
    kept = keeping([RESPONSES.reply], dialect="1.1")
    async with gateway_over(kept, known=KEYED) as gateway:
        assert (await gateway.post(RESPONSES.body(), RESPONSES.path)).status == 401
        client = await ask(gateway, "GET", sealed())
        assert (client.status, client.error["code"]) == (400, "unsupported_by_replica")
        assert kept.requests == []


async def test_the_id_under_which_a_response_is_stored_is_not_the_clients_to_choose():
    kept = keeping([RESPONSES.reply])
    async with gateway_over(kept, known=KEYED) as gateway:
        await gateway.post(
            RESPONSES.body(request_id="resp_of_another", background=False),
            RESPONSES.path,
            headers=bearer("mine"),
        )
        assert kept.requests[0][1] == json.loads(RESPONSES.body(model="source"))
        client = await gateway.post(
            RESPONSES.body(background=True), RESPONSES.path, headers=bearer("mine")
        )
        assert (client.status, client.error["param"]) == (400, "background")


async def test_over_a_real_socket_only_these_methods_and_paths_exist():
    kept = keeping([RESPONSES.reply])
    async with gateway_over(kept, known=KEYED) as gateway, gateway.serving() as http:
        http.headers.update(bearer("mine"))
        path = f"/v1/responses/{sealed()}"
        assert (await http.get(path)).status_code == 200
        assert (await http.get(path + "?include[]=x&stream=false")).status_code == 200
        streamed = await http.get(path + "?stream=true")
        assert (streamed.status_code, streamed.json()["error"]["param"]) == (400, "stream")
        for method in ("POST", "PUT", "HEAD"):
            refused = await http.request(method, path)
            assert (refused.status_code, refused.headers["allow"]) == (405, "GET, DELETE")
        for more in ("/input_items", "/cancel", "/../../update_weights", "%2Finput_items"):
            refused = await http.post(path + more)
            assert refused.status_code in {400, 404, 405}
        assert (await http.get("/v1/responses/")).status_code in {404, 405}
        assert [asked.split()[0] for asked in kept.asked] == ["GET", "GET"]
