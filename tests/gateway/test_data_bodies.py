"""What a replica gets of a client's body, and what a long one costs the others."""

import asyncio
import json
import time

import pytest

from gateway.core.keys import digest_key
from gateway.core.salting import cache_salt
from gateway.core.snapshot import FleetSnapshot, KeyView
from tests.fakes.replica import REPLY, answering, reply
from tests.gateway.data_gateway import gateway_over

pytestmark = pytest.mark.anyio

PEPPER = bytes(range(32))
CHAT_REPLY = REPLY.replace(b"text_completion", b"chat.completion")
CHAT = b'{"model":"m","messages":[{"role":"user","content":"hi"}]%b}'


def keys(pepper=PEPPER, **tenants):
    """Return a snapshot's keys: for each secret, its tenant and the fields that it may send."""
    views = {
        digest_key(secret.encode(), pepper): KeyView(id=secret, tenant=tenant, fields=fields)
        for secret, (tenant, fields) in tenants.items()
    }
    return {"keys": views, "key_pepper": pepper}


async def chat(gateway, secret, more=b""):
    return await gateway.post(
        CHAT % more, "/v1/chat/completions", headers={"authorization": f"Bearer {secret}"}
    )


@pytest.mark.parametrize("blanks", [0, 30_000, 3_000_000])
async def test_a_body_goes_on_as_it_came_but_for_the_models_name(blanks):
    replica = answering([reply()])
    wire = b'{ "prompt":"\\u00e9\\/","top_p":1.0e+0,"model":"m" ,"seed":null%b,"n":1 }\n'
    wire %= b" " * blanks
    async with gateway_over(replica) as gateway:
        assert (await gateway.post(wire)).status == 200
        assert replica.bodies == [wire.replace(b'"m"', b'"source"')]


async def test_each_tenant_has_a_salt_of_its_own_and_nobody_chooses_it():
    replica = answering([reply(CHAT_REPLY)])
    known = keys(one=("a", frozenset()), two=("a", None), other=("b", frozenset()))
    async with gateway_over(replica, known=known) as gateway:
        for secret in ("one", "two", "other"):
            assert (await chat(gateway, secret, b',"cache_salt":"chosen"')).status == 200
        one, two, other = (sent["cache_salt"] for _, sent in replica.requests)
        assert one == two != other
        assert all(b"chosen" not in body for body in replica.bodies)


async def test_a_salt_is_that_of_the_snapshot_which_the_request_took():
    replica = answering([reply(CHAT_REPLY)])
    peppers = (PEPPER, PEPPER[::-1], PEPPER)
    async with gateway_over(replica) as gateway:
        for pepper in peppers:
            gateway.known = keys(pepper, one=("a", frozenset()))
            gateway.publish()
            assert (await chat(gateway, "one")).status == 200
        salts = [sent["cache_salt"] for _, sent in replica.requests]
        assert salts == [cache_salt(FleetSnapshot(1, {}, {}, p), "a") for p in peppers]


async def test_without_keys_there_is_no_salt():
    replica = answering([reply(CHAT_REPLY)])
    async with gateway_over(replica, known={"key_pepper": PEPPER}) as gateway:
        await gateway.post(CHAT % b',"cache_salt":"chosen"', "/v1/chat/completions")
        assert "cache_salt" not in replica.requests[0][1]


@pytest.mark.parametrize(
    "field", ["chat_template", "chat_template_kwargs", "lora_request", "disaggregated_params"]
)
async def test_a_field_that_needs_a_scope_is_refused_by_name_or_not_seen(field):
    replica = answering([reply(CHAT_REPLY)])
    value = b'"canary"' if field == "chat_template" else b'{"x":"canary"}'
    known = keys(plain=("a", frozenset()), scoped=("a", frozenset({field})))
    async with gateway_over(replica, known=known) as gateway:
        name = field.encode()
        client = await chat(gateway, "plain", b',"%b":%b' % (name, value))
        assert client.status == 403
        assert client.error["code"] == "permission_denied"
        assert client.error["param"] == field
        hidden = b',"%b":%b,"%b":null' % (name, value, name)
        assert (await chat(gateway, "plain", hidden)).status == 200
        assert b"canary" not in replica.bodies[0]
        assert (await chat(gateway, "scoped", b',"%b":%b' % (name, value))).status == 200
        assert replica.requests[1][1][field] == json.loads(value)


async def test_a_long_body_lets_others_run_while_it_is_read():
    replica = answering([reply()])
    wire = b'{"model":"m","prompt":"%b"}' % (b"say \\n" * (1 << 21))
    turns, admitted_at = [], []
    async with gateway_over(replica) as gateway:
        gateway.recorder.admitted = lambda _: admitted_at.append(time.perf_counter())

        async def others():
            while True:
                turns.append(time.perf_counter())
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            busy = tasks.create_task(others())
            assert (await gateway.post(wire)).status == 200
            busy.cancel()
        meanwhile = [at for at in turns if gateway.facts.body_read_at < at < admitted_at[0]]
        assert len(meanwhile) > len(wire) >> 17
        assert len(replica.bodies[0]) == len(wire) + len("source") - len("m")
