import asyncio

import pytest

from gateway.dataplane.pacing import paced

pytestmark = pytest.mark.anyio


async def test_others_run_between_two_steps_of_long_work():
    seen = []

    def steps():
        for number in range(3):
            seen.append(number)
            yield
        return "done"

    async def other():
        for letter in "abc":
            seen.append(letter)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(paced(steps()))
        tasks.create_task(other())
    assert work.result() == "done"
    assert seen == [0, "a", 1, "b", 2, "c"]


async def test_what_goes_wrong_in_a_step_is_raised():
    def steps():
        yield
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await paced(steps())
