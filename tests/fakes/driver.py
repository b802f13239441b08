"""Virtual time for the simulator's driver, and a sink that keeps what it gets."""

import asyncio
from contextlib import asynccontextmanager

from backends.simulator.driver import Driver
from tests.fakes.engine import new_engine


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


@asynccontextmanager
async def running(driver):
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(driver.run())
        yield
        loop.cancel()


def new_driver(*, overshoot_s=0.0, time_scale=1.0, on_step=None, **limits):
    clock = VirtualTime(overshoot_s=overshoot_s)
    engine = new_engine(**limits)
    driver = Driver(
        engine, clock=clock, time_scale=time_scale, on_step=on_step, sleep=clock.sleep
    )
    return driver, clock
