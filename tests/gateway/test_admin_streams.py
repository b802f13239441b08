"""Streams of the admin API over real sockets."""

import json
import time

import httpx
import pytest

from backends.launcher import LogLine
from tests.fakes.fleet import FakeFleet, replica
from tests.gateway.admin_client import serving

DEADLINE_S = 30


@pytest.fixture
def fleet():
    fleet = FakeFleet(replica("r-1"))
    fleet.log_lines = [LogLine(1.0, "stdout", f"line {n}") for n in range(3)]
    return fleet


def test_each_line_arrives_while_the_stream_goes_on_and_leaving_frees_it(fleet):
    with serving(fleet) as url, httpx.Client(timeout=DEADLINE_S) as client:
        with client.stream("GET", f"{url}/admin/replicas/r-1/logs?follow=true") as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            assert answer.headers["cache-control"] == "no-store"
            lines = filter(None, answer.iter_lines())
            seen = [json.loads(next(lines).removeprefix("data: "))["line"] for _ in range(3)]
            assert seen == ["line 0", "line 1", "line 2"]
            assert fleet.logs_closed == 0
        ends_at = time.monotonic() + DEADLINE_S
        while not fleet.logs_closed and time.monotonic() < ends_at:
            time.sleep(0.01)
        assert fleet.logs_closed == 1
