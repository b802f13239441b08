"""A replica that says of every request that it is wrong is suspect; each has a control."""

import pytest

from gateway.core.outlier import Cause
from gateway.core.snapshot import Ejection
from tests.fakes.replica import answering, reply, stream
from tests.gateway.data_gateway import COMPLETION, STREAMED, gateway_over
from tests.gateway.test_data_ejection import CLIENTS_400, ENGINES_400
from tests.gateway.test_data_responses import KEYED, bearer, go_on, keeping, sealed

pytestmark = pytest.mark.anyio

RULES = Ejection(over_requests=6, consecutive=10**6, failure_share=1.0)
BLIND = Ejection(over_requests=6, consecutive=10**6, failure_share=1.0, refused_margin=1.0)
SUSPECT = ("r0", Cause.REFUSED)


async def outliers(*scripts, requests=60, body=COMPLETION, ejection=RULES, **known):
    """Return who is found to be one when clients ask replicas with these answers in turn."""
    replicas = [answering(script, **known) for script in scripts]
    async with gateway_over(*replicas, ejection=ejection) as gateway:
        for number in range(requests):
            for column in range(len(replicas)):  # the one whose turn it is has least to do
                gateway.leases.open[column] += column != number % len(replicas)
            await gateway.post(body)
            for column in range(len(replicas)):
                gateway.leases.open[column] -= column != number % len(replicas)
        return [(o.replica, o.cause) for o in gateway.outliers], [
            len(replica.requests) for replica in replicas
        ]


GOOD = [reply()]


@pytest.mark.parametrize(
    ("body", "good"), [(COMPLETION, GOOD), (STREAMED, [stream("a")])], ids=["whole", "stream"]
)
async def test_a_replica_that_alone_blames_its_clients_is_suspect(body, good):
    found, asked = await outliers(CLIENTS_400, good, good, body=body)
    assert found[0] == SUSPECT
    assert set(found) == {SUSPECT}
    assert asked == [20, 20, 20], "no more than suspect: the supervisor asks it first"


async def test_without_the_comparison_nobody_is():
    assert (await outliers(CLIENTS_400, GOOD, GOOD, ejection=BLIND))[0] == []


async def test_clients_that_are_wrong_everywhere_make_nobody_suspect():
    assert (await outliers(CLIENTS_400, CLIENTS_400, CLIENTS_400))[0] == []


async def test_of_two_replicas_none_is():
    assert (await outliers(CLIENTS_400, GOOD))[0] == []


async def test_where_most_refuse_it_is_the_request_that_is_wrong():
    assert (await outliers(CLIENTS_400, CLIENTS_400, GOOD))[0] == []


async def test_a_400_for_its_own_fault_is_a_failure_and_no_refusal():
    found, _ = await outliers(ENGINES_400, GOOD, GOOD)
    assert (Cause.REFUSED in {cause for _, cause in found}) is False


async def test_a_client_whose_bad_requests_all_reach_one_replica_gets_it_suspected_no_more():
    wrong = [reply(b'{"error":"Invalid grammar"}', 400)]
    keepers = [keeping(wrong), keeping([reply()]), keeping([reply()])]
    async with gateway_over(*keepers, known=dict(KEYED), ejection=RULES) as gateway:
        gateway.leases.open[0] += 100
        while min(len(keeper.requests) for keeper in keepers[1:]) < RULES.over_requests:
            assert (await gateway.post(headers=bearer("mine"))).status == 200
        gateway.leases.open[0] -= 100
        for _ in range(RULES.over_requests):
            assert (await go_on(gateway, sealed("r0"))).status == 400
        assert [(o.replica, o.cause) for o in gateway.outliers] == [SUSPECT]
        assert gateway.standings.ordinary, "nobody is left out for it"
