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
    """Judge so many requests; return how many of them ended in which way."""
    seen = Counter()

    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(requests(models=[bench.replica.model, bench.replica.source]))
    def judge(asked):
        seen[bench.judge(asked)] += 1

    judge()
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
def test_ten_thousand_requests_are_answered_as_by_the_replica_itself(benches, note_figures):
    seen = {name: judged(bench, MANY // len(DIALECTS)) for name, bench in benches.items()}
    note_figures(
        "differential",
        requests=sum(sum(each.values()) for each in seen.values()),
        differences=0,
        **{name: dict(sorted(each.items())) for name, each in seen.items()},
    )
