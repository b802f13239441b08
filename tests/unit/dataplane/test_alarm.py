import asyncio

import pytest

from gateway.dataplane.alarm import Alarm

pytestmark = pytest.mark.anyio


class Loop:
    """A loop whose time is set, and whose timers go off only when told."""

    def __init__(self):
        self.now = 0.0
        self.timers = []

    def time(self):
        return self.now

    def call_at(self, at, callback):
        timer = Timer(self, at, callback)
        self.timers.append(timer)
        return timer

    def go_to(self, at):
        while due := [timer for timer in self.timers if timer.at <= at]:
            timer = min(due, key=lambda each: each.at)
            self.now = max(self.now, timer.at)
            self.timers.remove(timer)
            timer.callback()
        self.now = at


class Timer:
    def __init__(self, loop, at, callback):
        self.loop, self.at, self.callback = loop, at, callback

    def cancel(self):
        self.loop.timers.remove(self)


class Rung:
    def __init__(self):
        self.loop = Loop()
        self.alarm = Alarm(self.loop)
        self.at = []

    def set(self, limit_at):
        self.alarm.set(limit_at, lambda: self.at.append(self.loop.now))


def test_it_rings_once_at_its_limit():
    rung = Rung()
    rung.set(3.0)
    rung.loop.go_to(2.9)
    assert rung.at == []
    rung.loop.go_to(9.0)
    assert rung.at == [3.0]


def test_many_waits_that_end_early_cost_one_timer():
    rung = Rung()
    for number in range(1000):
        rung.loop.go_to(number / 1000)
        rung.set(number / 1000 + 60)
        rung.alarm.clear()
        assert len(rung.loop.timers) == 1
    rung.set(70.0)
    rung.loop.go_to(100.0)
    assert rung.at == [70.0]


def test_a_wait_with_a_nearer_limit_ends_at_that():
    rung = Rung()
    rung.set(60.0)
    rung.set(5.0)
    assert len(rung.loop.timers) == 1
    rung.loop.go_to(100.0)
    assert rung.at == [5.0]


def test_a_wait_that_ended_is_not_rung_for():
    rung = Rung()
    rung.set(3.0)
    rung.alarm.clear()
    rung.loop.go_to(10.0)
    assert rung.at == []
    rung.set(11.0)  # and the next is
    rung.loop.go_to(20.0)
    assert rung.at == [11.0]


def test_it_leaves_nothing_with_the_loop_once_it_is_stopped():
    rung = Rung()
    rung.alarm.stop()
    rung.set(3.0)
    rung.alarm.stop()
    assert rung.loop.timers == []
    rung.loop.go_to(10.0)
    assert rung.at == []


async def test_it_rings_on_a_real_loop_too():
    loop, rung = asyncio.get_running_loop(), asyncio.Event()
    Alarm(loop).set(loop.time() + 0.01, rung.set)
    await rung.wait()
