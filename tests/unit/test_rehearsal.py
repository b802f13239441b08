import os
import sys

import pytest

from gateway.config.loading import NOTHING, load
from gateway.config.sources import Document
from gateway.rehearsal import fixed, problems, rehearse, rehearsed

pytestmark = pytest.mark.anyio


def config_with(tmp_path, **sections):
    document = Document({"state": {"dir": str(tmp_path)}, **sections}, {})
    return load(None, {}, base=document.over(NOTHING))


def test_what_stays_the_same_is_no_problem(tmp_path):
    config = config_with(tmp_path)
    assert problems(config, fixed(config)) == []


def test_each_address_that_changes_is_told(tmp_path):
    before = fixed(config_with(tmp_path))
    now = config_with(tmp_path, server={"port": 1}, admin={"port": 2})
    told = problems(now, before)
    assert [line.partition(" ")[0] for line in told] == ["server.port", "admin.port"]


async def test_a_child_learns_what_must_stay_and_says_what_is_wrong(tmp_path):
    before = fixed(config_with(tmp_path))
    child = "import os; print(os.environ['TRTLLM_GATEWAY_REHEARSAL']); raise SystemExit({})"
    ask = [sys.executable, "-c"]
    assert await rehearse([*ask, child.format(0)], before, os.environ) is None
    said = await rehearse([*ask, child.format(1)], before, os.environ)
    assert rehearsed({"TRTLLM_GATEWAY_REHEARSAL": said}) == before


async def test_a_child_that_ends_without_a_word_or_cannot_start_is_told_of(tmp_path):
    before = fixed(config_with(tmp_path))
    silent = [sys.executable, "-c", "raise SystemExit(3)"]
    assert await rehearse(silent, before, os.environ) == "it ended with code 3"
    assert "/no/such/program cannot be started" in str(
        await rehearse(["/no/such/program"], before, os.environ)
    )


def test_a_start_that_is_no_rehearsal():
    assert rehearsed({}) is None
