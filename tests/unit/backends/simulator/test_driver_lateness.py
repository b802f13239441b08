import logging

import pytest

from tests.fakes.driver import Recorder, new_driver, running
from tests.fakes.engine import new_request

pytestmark = pytest.mark.anyio


async def test_small_delays_do_not_add_up():
    driver, clock = new_driver(overshoot_s=2e-3)
    sink = Recorder(clock)
    driver.submit(new_request(1, max_tokens=200), sink)
    async with running(driver):
        await sink.ended.wait()
    assert sink.arrivals[-1] == pytest.approx(sink.record.last_token_at, abs=2.1e-3)
    assert driver.lateness.late_steps == 0


async def test_lateness_that_lasts_is_counted_dropped_and_said(caplog):
    driver, clock = new_driver()
    sink = Recorder(clock, on_output=lambda _: clock.spend(0.030))
    driver.submit(new_request(1, max_tokens=200), sink)
    with caplog.at_level(logging.WARNING, "backends.simulator.driver"):
        async with running(driver):
            await sink.ended.wait()
    lateness = driver.lateness
    assert lateness.late_steps > 100
    assert lateness.worst_s > 0.1
    assert lateness.dropped_s > 1.0
    assert "cannot keep up" in caplog.text
    assert clock.now - 100.0 >= 199 * 0.030  # nothing was skipped, only late
    assert sink.tokens == 200


async def test_a_hiccup_is_caught_up_and_said_only_in_the_count(caplog):
    driver, clock = new_driver()

    def hiccup(output):
        if output.total_tokens == 10:
            clock.spend(0.2)

    sink = Recorder(clock, on_output=hiccup)
    driver.submit(new_request(1, max_tokens=100), sink)
    async with running(driver):
        await sink.ended.wait()
    assert 5 <= driver.lateness.late_steps <= 12
    assert driver.lateness.dropped_s == 0.0
    assert sink.arrivals[-1] == pytest.approx(sink.record.last_token_at)
    assert caplog.text == ""


async def test_a_request_that_comes_while_the_driver_is_late_starts_no_earlier_than_it_came():
    driver, clock = new_driver()
    late = Recorder(clock)

    def hiccup(output):
        if output.is_last:
            clock.spend(0.5)
            driver.submit(new_request(2), late)

    first = Recorder(clock, on_output=hiccup)
    driver.submit(new_request(1, max_tokens=2), first)
    async with running(driver):
        await late.ended.wait()
    assert late.record.first_scheduled_at >= late.record.arrival_at
