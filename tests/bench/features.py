"""Proof that the gateway under test did all that it should: a cheap figure is no figure.

Keys are asked for, metrics are scraped, spans reach the collector, every request has its line
in the log.
"""

from collections.abc import Mapping
from pathlib import Path
from threading import Event, Thread

import httpx

from tests.bench.building import CannotMeasure
from tests.bench.subjects import SAMPLE_SHARE, Mock, Subject

_SCRAPE_S = 15.0
"""How often metrics are asked for, as Prometheus' own example does."""
_SURE_SPANS = 20
"""With so many expected, none at all is no chance."""
_SHORTEST_LINE_BYTES = 200
_THROWN_AWAY = "trtgw_telemetry_dropped_total"


def must_ask_for_key(gateway: Subject) -> None:
    """Send a request without a key.

    Raises:
        CannotMeasure: it is answered.
    """
    answer = httpx.post(f"http://127.0.0.1:{gateway.port}/v1/completions", json={}, timeout=10)
    if answer.status_code != httpx.codes.UNAUTHORIZED:
        raise CannotMeasure(f"the gateway asks for no key: it answers {answer.status_code}")


def thrown_away(gateway: Subject) -> Mapping[str, float]:
    """Return how many log lines and spans it could not keep up with, by signal."""
    text = httpx.get(_metrics_url(gateway), timeout=10).text
    lost: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith(f"{_THROWN_AWAY}{{"):
            signal = line.partition('signal="')[2].partition('"')[0]
            lost[signal] = lost.get(signal, 0.0) + float(line.rpartition(" ")[2])
    if set(lost) != {"logs", "spans"}:
        raise CannotMeasure(f"the metrics do not tell what was thrown away: {lost}")
    return lost


def must_have_told(mock: Mock, log: Path, requests: int, lost: Mapping[str, float]) -> None:
    """Look after the gateway's end, when the last spans and lines have left it.

    Raises:
        CannotMeasure: spans or lines are missing that it does not say it threw away.
    """
    if requests * SAMPLE_SHARE - lost["spans"] > _SURE_SPANS and not mock.stats()["traces"]:
        raise CannotMeasure("no spans came: the gateway under test did not trace")
    written = log.stat().st_size
    if written < (requests - lost["logs"]) * _SHORTEST_LINE_BYTES:
        raise CannotMeasure(f"{written} bytes of log for {requests} requests: not every one")


class Scraper:
    """Asks the gateway for its metrics all the while, as Prometheus would."""

    def __init__(self, gateway: Subject) -> None:
        """Ask nothing before the block is entered."""
        self._url = _metrics_url(gateway)
        self._end = Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> None:
        """Begin."""
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """End."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(_SCRAPE_S):
            try:
                httpx.get(self._url, timeout=10)
            except httpx.HTTPError:  # a busy gateway may be late: that is not what is measured
                continue


def _metrics_url(gateway: Subject) -> str:
    return f"http://127.0.0.1:{gateway.admin_port}/metrics"
