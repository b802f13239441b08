"""What works against trtllm-serve works through the gateway, and is answered the same.

Generated requests go to a simulated replica of each release directly and through a gateway,
over real sockets; `tests.differential.verdict` says what must be the same.
"""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings

from gateway.core.field_tables import FIELDS
from gateway.core.fields import DIALECTS
from tests.differential.generated import requests
from tests.differential.valid_values import TABLES
from tests.differential.verdict import HELPED, REFUSED, SAME

FEW, MANY = 500, 10_000


def judged(bench, number):
    """Judge so many different requests; return how many of them ended in which way."""
    replica, bodies, seen = bench.replica, set(), Counter()

    @settings(
        max_examples=3 * number,  # hypothesis draws the like again and again
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, *HealthCheck],
    )
    @given(requests(dialect=replica.dialect, models=[replica.model, replica.source]))
    def judge(asked):
        if asked.body not in bodies and len(bodies) < number:
            verdict = bench.judge(asked)
            bodies.add(asked.body)
            seen[verdict] += 1

    judge()
    assert sum(seen.values()) == number
    return seen


@pytest.mark.parametrize("operation", ["chat", "completions"])
def test_requests_have_every_field(operation):
    assert TABLES[operation].keys() | {"model"} == FIELDS[operation].keys()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_any_request_is_answered_as_by_the_replica_itself(benches, dialect):
    seen = judged(benches[dialect], FEW // len(DIALECTS))
    # A test that compares refusals with refusals proves nothing of answers.
    assert seen[SAME] > FEW // len(DIALECTS) // 10
    assert seen[REFUSED] > 0
    assert seen[HELPED] > 0


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_ten_thousand_different_requests_are_answered_as_by_the_replica_itself(
    benches, note_figures
):
    seen = {name: judged(bench, MANY // len(DIALECTS)) for name, bench in benches.items()}
    note_figures(
        "differential",
        different_requests=sum(each.total() for each in seen.values()),
        differences=0,
        **{name: dict(sorted(each.items())) for name, each in seen.items()},
    )
