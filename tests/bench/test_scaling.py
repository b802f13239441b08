"""What limited a step is said as it is: a rate of others is not called the workers'."""

import pytest

from tests.bench.scaling import Step, as_json, efficiency
from tests.bench.stand import Window


def window(chunks_s=100_000.0, worker_share=1.0, rqwait=0.0):
    return Window(
        streams=1024, chunks_s=chunks_s, us_chunk=10.0, worker_share=worker_share,
        worker_shares=[worker_share], supervisor_share=0.0, fullest_feeder_share=0.5,
        rqwait=rqwait, events_per_read=1.0, chunk_delay_p50_us=50.0, chunk_delay_p99_us=200.0,
        failed=0,
    )  # fmt: skip


def step(workers=1, *, alone=True, **flooded):
    return Step(workers, alone, held=window(), flooded=window(**flooded))


@pytest.mark.parametrize(
    ("measured", "limit"),
    [
        (step(worker_share=0.97), "workers"),
        (step(worker_share=0.90, rqwait=0.06), "workers"),
        (step(worker_share=0.60), "feeders"),
        (step(worker_share=0.30, rqwait=0.70), "other work"),
        (step(worker_share=1.00, alone=False), "shared cores"),
    ],
)
def test_the_limit_of_a_flood(measured, limit):
    assert measured.limit == limit


def test_efficiency_is_what_a_worker_carries_beside_the_first_step():
    first, fourth = step(chunks_s=100_000), step(workers=4, chunks_s=360_000)
    assert efficiency(first, first) == 1
    assert efficiency(fourth, first) == pytest.approx(0.9)
    kept = as_json([first, fourth], "chat", {"cores": 16})
    assert [each["efficiency"] for each in kept["steps"]] == [1.0, 0.9]
