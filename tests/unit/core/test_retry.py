from hypothesis import given
from hypothesis import strategies as st

from gateway.core.retry import RetryBudget, RetryBudgets
from gateway.core.snapshot import Retries


def budget(share=0.2, least=3):
    return RetryBudget(Retries(budget_share=share, budget_min=least))


def failing(budget, requests):
    """Have requests fail at every replica; return how many of them were retried."""
    retried = 0
    for _ in range(requests):
        budget.request()
        budget.failed(1)
        if budget.allows(1):
            retried += 1
            budget.failed(2)
    return retried


def test_where_all_fails_a_share_of_the_requests_is_retried():
    assert failing(budget(), 1000) == 3 + 200
    assert failing(budget(share=0.5, least=0), 1000) == 500
    assert failing(budget(share=0.0, least=2), 1000) == 2
    assert failing(budget(share=0.0, least=0), 1000) == 0


def test_retries_that_are_answered_cost_nothing():
    lost_replica = budget()
    for _ in range(1000):
        lost_replica.request()
        lost_replica.failed(1)
        assert lost_replica.allows(1)


def test_what_good_times_earned_is_saved_up_to_a_limit():
    rich = budget()
    for _ in range(100_000):
        rich.request()
    assert failing(rich, 10) == 10
    assert failing(rich, 1000) < 20 + 0.2 * 1010


def test_many_that_fail_at_once_are_all_retried_and_then_paid_off():
    wave = budget()
    for _ in range(128):
        wave.request()
    assert wave.allows(1)  # each of them asked before any had failed again
    for _ in range(128):
        wave.failed(2)
    assert failing(wave, 500) == 0
    assert failing(wave, 500) > 0


@given(
    events=st.lists(st.sampled_from(["request", "retry"]), max_size=300),
    share=st.floats(0, 1),
    least=st.integers(0, 5),
)
def test_one_after_the_other_no_more_retries_fail_than_were_earned(events, share, least):
    tried, requests, failed = budget(share, least), 0, 0
    for event in events:
        if event == "request":
            tried.request()
            requests += 1
        elif tried.allows(1):
            tried.failed(2)
            failed += 1
    assert failed <= least + share * requests + 1e-6


def test_no_request_goes_to_more_replicas_than_it_may():
    thrice = RetryBudget(Retries(attempts=3, budget_min=9))
    assert [thrice.allows(tried) for tried in (1, 2, 3)] == [True, True, False]
    assert not RetryBudget(Retries(attempts=1, budget_min=9)).allows(1)


def test_each_model_has_its_own_until_its_settings_change():
    budgets, usual = RetryBudgets(), Retries()
    mine = budgets.of("a", usual)
    assert budgets.of("a", Retries()) is mine
    assert budgets.of("b", usual) is not mine
    changed = budgets.of("a", Retries(budget_min=9))
    assert changed is not mine
    assert changed.settings.budget_min == 9
