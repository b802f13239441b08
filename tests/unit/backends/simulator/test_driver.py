import asyncio
import logging
import time
from contextlib import asynccontextmanager

import pytest

from backends.simulator.driver import Driver
from backends.simulator.engine import Engine
from backends.simulator.iteration import EngineLimits, EngineRequest, RequestNeverFits
from backends.simulator.profiles import profile

pytestmark = pytest.mark.anyio

LARGE = profile("llama-3.3-70b-fp8-2xh100")
SMALL = profile("llama-3.1-8b-nvfp4-1xb200")


class VirtualTime:
    """A clock that only moves when someone sleeps on it, or `spend`s."""

    def __init__(self, *, overshoot_s=0.0):
        self.now = 100.0
        self.overshoot_s = overshoot_s
        self.naps = 0

    def __call__(self):
        return self.now

    async def sleep(self, delay):
        self.now += delay + self.overshoot_s
        self.naps += 1
        await asyncio.sleep(0)

    def spend(self, seconds):
        self.now += seconds


class Recorder:
    """A sink that keeps what it gets, and does what it is told to on each output."""

    def __init__(self, clock, on_output=None):
        self.clock = clock
        self.on_output = on_output
        self.outputs = []
        self.arrivals = []
        self.record = None
        self.ended = asyncio.Event()

    def deliver(self, output):
        assert self.record is None
        self.outputs.append(output)
        self.arrivals.append(self.clock())
        if self.on_output is not None:
            self.on_output(output)

    def end(self, record):
        assert self.record is None
        self.record = record
        self.ended.set()

    @property
    def tokens(self):
        return sum(output.new_tokens for output in self.outputs)


def request(number, prompt_tokens=10, max_tokens=5, **fields):
    return EngineRequest(number, range(number, number + prompt_tokens), max_tokens, **fields)


@asynccontextmanager
async def running(driver):
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(driver.run())
        yield
        loop.cancel()


def virtual(*, overshoot_s=0.0, time_scale=1.0, on_step=None, **limits):
    clock = VirtualTime(overshoot_s=overshoot_s)
    engine = Engine(LARGE, EngineLimits(noise=0.0, **limits))
    driver = Driver(
        engine, clock=clock, time_scale=time_scale, on_step=on_step, sleep=clock.sleep
    )
    return driver, clock


async def test_outputs_arrive_when_their_iteration_ends_and_the_record_after_them():
    driver, clock = virtual()
    sink = Recorder(clock)
    driver.submit(request(1), sink)
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
    driver, clock = virtual(on_step=steps.append)
    sinks = [Recorder(clock) for _ in range(100)]
    for number, sink in enumerate(sinks):
        driver.submit(request(number, max_tokens=4), sink)
    async with running(driver):
        for sink in sinks:
            await sink.ended.wait()
    assert clock.naps == len(steps) == 4
    assert sum(step.latency_s for step in steps) == pytest.approx(clock.now - 100.0)
    assert {sink.tokens for sink in sinks} == {4}


async def test_an_idle_driver_sleeps_until_a_request_comes():
    driver, clock = virtual()
    first, second = Recorder(clock), Recorder(clock)
    async with running(driver):
        driver.submit(request(1), first)
        await first.ended.wait()
        naps = clock.naps
        for _ in range(10):
            await asyncio.sleep(0)
        assert clock.naps == naps
        clock.spend(60.0)
        driver.submit(request(2), second)
        await second.ended.wait()
    assert second.record.first_scheduled_at == second.record.arrival_at


async def test_small_delays_do_not_add_up():
    driver, clock = virtual(overshoot_s=2e-3)
    sink = Recorder(clock)
    driver.submit(request(1, max_tokens=200), sink)
    async with running(driver):
        await sink.ended.wait()
    assert sink.arrivals[-1] == pytest.approx(sink.record.last_token_at, abs=2.1e-3)
    assert driver.lateness.late_steps == 0


async def test_a_time_scale_stretches_every_duration_and_keeps_the_clocks_instants():
    plain, clock = virtual()
    slow_steps = []
    slow, slow_clock = virtual(time_scale=3.0, on_step=slow_steps.append)
    sinks = []
    for driver, own in ((plain, clock), (slow, slow_clock)):
        sink = Recorder(own)
        driver.submit(request(1), sink)
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
    driver, clock = virtual(time_scale=0.5)
    sink = Recorder(clock)
    driver.submit(request(1), sink)
    driver.abort(1)
    assert sink.record.aborted
    assert sink.record.first_token_at is None


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_a_time_scale_that_is_not_above_0_is_refused(scale):
    with pytest.raises(ValueError, match="time_scale must be above 0"):
        virtual(time_scale=scale)


async def test_an_aborted_request_gets_no_more_outputs_and_its_record_when_the_iteration_ends():
    driver, clock = virtual()
    other = Recorder(clock)
    gone = Recorder(clock, on_output=lambda _: driver.abort(1))
    driver.submit(request(1, max_tokens=50), gone)
    driver.submit(request(2), other)
    async with running(driver):
        await other.ended.wait()
    assert gone.tokens == 1
    assert gone.record.aborted
    assert other.tokens == 5
    driver.abort(1)


async def test_an_abort_while_an_iteration_is_under_way_drops_its_outputs():
    driver, clock = virtual()
    sink = Recorder(clock)

    async def nap_and_abort(delay):
        driver.abort(1)
        driver.abort(1)
        await clock.sleep(delay)

    driver._sleep = nap_and_abort
    driver.submit(request(1, max_tokens=1), sink)
    async with running(driver):
        await sink.ended.wait()
    assert sink.outputs == []
    assert not sink.record.aborted  # the iteration under way was its last


async def test_aborting_an_unknown_request_is_no_error():
    driver, _ = virtual()
    driver.abort(5)


async def test_a_sequence_stopped_by_its_sink_ends_there_and_its_siblings_get_all_theirs():
    driver, clock = virtual()

    def stop_the_first(output):
        if output.sequence_index == 0 and output.total_tokens == 2:
            driver.stop_sequence(1, 0)

    sink = Recorder(clock, on_output=stop_the_first)
    driver.submit(request(1, max_tokens=2, sequences=2, ends_after=(2, 2)), sink)
    other = Recorder(clock, on_output=stop_the_first)
    driver.submit(request(2, max_tokens=9), other)
    async with running(driver):
        await sink.ended.wait()
        await other.ended.wait()
    assert [o.total_tokens for o in sink.outputs if o.sequence_index == 1] == [1, 2]
    assert sink.record.output_tokens == 4


async def test_the_record_of_a_stop_waits_for_the_last_output_of_a_sibling():
    driver, clock = virtual()

    def stop_the_first(output):
        if output.sequence_index == 0 and output.total_tokens == 2:
            driver.stop_sequence(1, 0)

    sink = Recorder(clock, on_output=stop_the_first)
    driver.submit(request(1, max_tokens=9, sequences=2, ends_after=(9, 2)), sink)
    async with running(driver):
        await sink.ended.wait()
    last = sink.outputs[-1]
    assert (last.sequence_index, last.total_tokens, last.is_last) == (1, 2, True)


async def test_a_failing_sink_is_aborted_and_the_others_go_on(caplog):
    driver, clock = virtual()

    def fail(_):
        raise RuntimeError("no more room")

    bad, good = Recorder(clock, on_output=fail), Recorder(clock)
    driver.submit(request(1, max_tokens=50), bad)
    driver.submit(request(2), good)
    async with running(driver):
        await good.ended.wait()
    assert bad.record.aborted
    assert good.tokens == 5
    assert "a sink failed; its request 1 is aborted" in caplog.text


async def test_a_sink_that_fails_at_the_end_harms_nobody(caplog):
    driver, clock = virtual()
    good = Recorder(clock)

    class Bad(Recorder):
        def end(self, record):
            raise RuntimeError(f"too late for request {record.request_id}")

    driver.submit(request(1, max_tokens=2), Bad(clock))
    driver.submit(request(2), good)
    async with running(driver):
        await good.ended.wait()
    assert "a sink failed at the end of request 1" in caplog.text


async def test_a_refused_request_leaves_no_trace():
    driver, clock = virtual(max_batch_size=2)
    sink = Recorder(clock)
    with pytest.raises(RequestNeverFits):
        driver.submit(request(1, sequences=3), sink)
    driver.submit(request(1), sink)
    with pytest.raises(ValueError, match="request id 1 is in use"):
        driver.submit(request(1), sink)


async def test_lateness_that_lasts_is_counted_dropped_and_said(caplog):
    driver, clock = virtual()
    sink = Recorder(clock, on_output=lambda _: clock.spend(0.030))
    driver.submit(request(1, max_tokens=200), sink)
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
    driver, clock = virtual()

    def hiccup(output):
        if output.total_tokens == 10:
            clock.spend(0.2)

    sink = Recorder(clock, on_output=hiccup)
    driver.submit(request(1, max_tokens=100), sink)
    async with running(driver):
        await sink.ended.wait()
    assert 5 <= driver.lateness.late_steps <= 12
    assert driver.lateness.dropped_s == 0.0
    assert sink.arrivals[-1] == pytest.approx(sink.record.last_token_at)
    assert caplog.text == ""


async def test_a_request_that_comes_while_the_driver_is_late_starts_no_earlier_than_it_came():
    driver, clock = virtual()
    late = Recorder(clock)

    def hiccup(output):
        if output.is_last:
            clock.spend(0.5)
            driver.submit(request(2), late)

    first = Recorder(clock, on_output=hiccup)
    driver.submit(request(1, max_tokens=2), first)
    async with running(driver):
        await late.ended.wait()
    assert late.record.first_scheduled_at >= late.record.arrival_at


async def test_in_real_time_no_token_is_early_and_measured_times_are_those_of_the_record():
    clock = time.monotonic
    driver = Driver(Engine(SMALL, EngineLimits()), clock=clock)
    sinks = [Recorder(clock) for _ in range(20)]
    async with running(driver):
        for number, sink in enumerate(sinks):
            driver.submit(request(number, prompt_tokens=500, max_tokens=20), sink)
        for sink in sinks:
            await sink.ended.wait()
    for sink in sinks:
        assert sink.tokens == 20
        assert sink.arrivals[0] >= sink.record.first_token_at - 2e-3
        assert sink.arrivals[-1] >= sink.record.last_token_at - 2e-3
