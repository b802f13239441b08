import asyncio
import time

import pytest

from backends.simulator.driver import Driver
from backends.simulator.engine import Engine
from backends.simulator.iteration import EngineLimits, RequestNeverFits
from backends.simulator.profiles import profile
from tests.fakes.driver import Recorder, new_driver, running
from tests.fakes.engine import new_request

pytestmark = pytest.mark.anyio

SMALL = profile("llama-3.1-8b-nvfp4-1xb200")


async def test_outputs_arrive_when_their_iteration_ends_and_the_record_after_them():
    driver, clock = new_driver()
    sink = Recorder(clock)
    driver.submit(new_request(1), sink)
    async with running(driver):
        await sink.ended.wait()
    record = sink.record
    assert sink.tokens == 5
    assert record.arrival_at == 100.0
    assert record.first_token_at == pytest.approx(sink.arrivals[0])
    assert record.last_token_at == pytest.approx(sink.arrivals[-1])
    assert driver.lateness.late_steps == 0


async def test_all_streams_of_an_iteration_share_one_wake_up():
    steps = []
    driver, clock = new_driver(on_step=steps.append)
    sinks = [Recorder(clock) for _ in range(100)]
    for number, sink in enumerate(sinks):
        driver.submit(new_request(number, max_tokens=4), sink)
    async with running(driver):
        for sink in sinks:
            await sink.ended.wait()
    assert clock.naps == len(steps) == 4
    assert sum(step.latency_s for step in steps) == pytest.approx(clock.now - 100.0)
    assert {sink.tokens for sink in sinks} == {4}


async def test_an_idle_driver_sleeps_until_a_request_comes():
    driver, clock = new_driver()
    first, second = Recorder(clock), Recorder(clock)
    async with running(driver):
        driver.submit(new_request(1), first)
        await first.ended.wait()
        naps = clock.naps
        for _ in range(10):
            await asyncio.sleep(0)
        assert clock.naps == naps
        clock.spend(60.0)
        driver.submit(new_request(2), second)
        await second.ended.wait()
    assert second.record.first_scheduled_at == second.record.arrival_at


async def test_a_time_scale_stretches_every_duration_and_keeps_the_clocks_instants():
    plain, clock = new_driver()
    slow_steps = []
    slow, slow_clock = new_driver(time_scale=3.0, on_step=slow_steps.append)
    sinks = []
    for driver, own in ((plain, clock), (slow, slow_clock)):
        sink = Recorder(own)
        driver.submit(new_request(1), sink)
        async with running(driver):
            await sink.ended.wait()
        sinks.append(sink)
    base, stretched = (sink.record for sink in sinks)
    assert stretched.arrival_at == pytest.approx(100.0)
    assert stretched.first_token_at - 100.0 == pytest.approx(3 * (base.first_token_at - 100.0))
    assert stretched.last_token_at == pytest.approx(sinks[1].arrivals[-1])
    assert slow_steps[0].started_at == pytest.approx(100.0)
    assert sum(step.latency_s for step in slow_steps) == pytest.approx(slow_clock.now - 100.0)


async def test_a_request_aborted_before_its_first_token_keeps_none_in_a_scaled_record():
    driver, clock = new_driver(time_scale=0.5)
    sink = Recorder(clock)
    driver.submit(new_request(1), sink)
    driver.abort(1)
    assert sink.record.aborted
    assert sink.record.first_token_at is None


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_a_time_scale_that_is_not_above_0_is_refused(scale):
    with pytest.raises(ValueError, match="time_scale must be above 0"):
        new_driver(time_scale=scale)


async def test_an_aborted_request_gets_no_more_outputs_and_its_record_when_the_iteration_ends():
    driver, clock = new_driver()
    other = Recorder(clock)
    gone = Recorder(clock, on_output=lambda _: driver.abort(1))
    driver.submit(new_request(1, max_tokens=50), gone)
    driver.submit(new_request(2), other)
    async with running(driver):
        await other.ended.wait()
    assert gone.tokens == 1
    assert gone.record.aborted
    assert other.tokens == 5
    driver.abort(1)


async def test_an_abort_while_an_iteration_is_under_way_drops_its_outputs():
    driver, clock = new_driver()
    sink = Recorder(clock)

    async def nap_and_abort(delay):
        driver.abort(1)
        driver.abort(1)
        await clock.sleep(delay)

    driver._sleep = nap_and_abort
    driver.submit(new_request(1, max_tokens=1), sink)
    async with running(driver):
        await sink.ended.wait()
    assert sink.outputs == []
    assert not sink.record.aborted  # the iteration under way was its last


async def test_aborting_an_unknown_request_is_no_error():
    driver, _ = new_driver()
    driver.abort(5)


async def test_a_sequence_stopped_by_its_sink_ends_there_and_its_siblings_get_all_theirs():
    driver, clock = new_driver()

    def stop_the_first(output):
        if output.sequence_index == 0 and output.total_tokens == 2:
            driver.stop_sequence(1, 0)

    sink = Recorder(clock, on_output=stop_the_first)
    driver.submit(new_request(1, max_tokens=2, sequences=2, ends_after=(2, 2)), sink)
    other = Recorder(clock, on_output=stop_the_first)
    driver.submit(new_request(2, max_tokens=9), other)
    async with running(driver):
        await sink.ended.wait()
        await other.ended.wait()
    assert [o.total_tokens for o in sink.outputs if o.sequence_index == 1] == [1, 2]
    assert sink.record.output_tokens == 4


async def test_the_record_of_a_stop_waits_for_the_last_output_of_a_sibling():
    driver, clock = new_driver()

    def stop_the_first(output):
        if output.sequence_index == 0 and output.total_tokens == 2:
            driver.stop_sequence(1, 0)

    sink = Recorder(clock, on_output=stop_the_first)
    driver.submit(new_request(1, max_tokens=9, sequences=2, ends_after=(9, 2)), sink)
    async with running(driver):
        await sink.ended.wait()
    last = sink.outputs[-1]
    assert (last.sequence_index, last.total_tokens, last.is_last) == (1, 2, True)


async def test_a_failing_sink_is_aborted_and_the_others_go_on(caplog):
    driver, clock = new_driver()

    def fail(_):
        raise RuntimeError("no more room")

    bad, good = Recorder(clock, on_output=fail), Recorder(clock)
    driver.submit(new_request(1, max_tokens=50), bad)
    driver.submit(new_request(2), good)
    async with running(driver):
        await good.ended.wait()
    assert bad.record.aborted
    assert good.tokens == 5
    assert "a sink failed; its request 1 is aborted" in caplog.text


async def test_a_sink_that_fails_at_the_end_harms_nobody(caplog):
    driver, clock = new_driver()
    good = Recorder(clock)

    class Bad(Recorder):
        def end(self, record):
            raise RuntimeError(f"too late for request {record.request_id}")

    driver.submit(new_request(1, max_tokens=2), Bad(clock))
    driver.submit(new_request(2), good)
    async with running(driver):
        await good.ended.wait()
    assert "a sink failed at the end of request 1" in caplog.text


async def test_a_refused_request_leaves_no_trace():
    driver, clock = new_driver(max_batch_size=2)
    sink = Recorder(clock)
    with pytest.raises(RequestNeverFits):
        driver.submit(new_request(1, sequences=3), sink)
    driver.submit(new_request(1), sink)
    with pytest.raises(ValueError, match="request id 1 is in use"):
        driver.submit(new_request(1), sink)


async def test_in_real_time_no_token_is_early_and_measured_times_are_those_of_the_record():
    clock = time.monotonic
    driver = Driver(Engine(SMALL, EngineLimits()), clock=clock)
    sinks = [Recorder(clock) for _ in range(20)]
    async with running(driver):
        for number, sink in enumerate(sinks):
            driver.submit(new_request(number, prompt_tokens=500, max_tokens=20), sink)
        for sink in sinks:
            await sink.ended.wait()
    for sink in sinks:
        assert sink.tokens == 20
        assert sink.arrivals[0] >= sink.record.first_token_at - 2e-3
        assert sink.arrivals[-1] >= sink.record.last_token_at - 2e-3
