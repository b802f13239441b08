"""A gateway that leaves something out is not measured: each proof fails where it must."""

import os

import pytest

from tests.bench import features
from tests.bench.building import CannotMeasure
from tests.bench.subjects import Subject, running_mock

NOTHING = {"logs": 0.0, "spans": 0.0}


@pytest.fixture(scope="module")
def mock(programs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mock")
    with running_mock(programs, folder, os.sched_getaffinity(0)) as running:
        yield running


@pytest.fixture
def open_door(mock, tmp_path):
    """A subject that asks for no key and has no metrics: the mock itself."""
    return Subject("open", mock.port, mock.pid, (mock.pid,), tmp_path / "log", mock.port)


def test_a_gateway_without_keys(open_door):
    with pytest.raises(CannotMeasure, match="no key"):
        features.must_ask_for_key(open_door)


def test_a_gateway_without_metrics(open_door):
    with pytest.raises(CannotMeasure, match="metrics"):
        features.thrown_away(open_door)


def test_a_gateway_without_traces(mock, tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"x" * 1_000_000)
    with pytest.raises(CannotMeasure, match="no spans"):
        features.must_have_told(mock, log, 3000, NOTHING)
    features.must_have_told(mock, log, 3000, {"logs": 0.0, "spans": 30.0})


def test_a_gateway_without_a_log(mock, tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"x" * 1000)
    with pytest.raises(CannotMeasure, match="of log for 1000 requests"):
        features.must_have_told(mock, log, 1000, NOTHING)
    features.must_have_told(mock, log, 1000, {"logs": 1000.0, "spans": 0.0})
