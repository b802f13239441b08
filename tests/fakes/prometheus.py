"""A real Prometheus on a free port of the loopback, that scrapes one address."""

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager

import pytest

DEADLINE_S = 60.0
_CONFIG = """\
global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}
scrape_configs:
  - job_name: gateway
    static_configs: [{{targets: ["{target}"]}}]
"""
_LISTENING = re.compile(r'msg="Listening on" address=(127\.0\.0\.1:[1-9]\d*)')


class Prometheus:
    """Answers queries."""

    def __init__(self, address):
        self._api = f"http://{address}/api/v1"

    def get(self, path, **query):
        url = f"{self._api}/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own address
            return json.load(answer)["data"]

    def query(self, promql):
        """The value of an expression that yields one series; None while it yields none."""
        result = self.get("query", query=promql)["result"]
        assert len(result) < 2, result
        return float(result[0]["value"][1]) if result else None

    def wait_for(self, promql, expected):
        """Poll until the expression has that value."""
        wait_until(lambda: self.query(promql) == expected, f"{promql} == {expected}")


def wait_until(condition, what):
    """Poll until ``condition``; an answer of 503 means that Prometheus is not ready yet."""
    deadline = time.monotonic() + DEADLINE_S
    while not _holds(condition):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {DEADLINE_S:g} s: {what}")
        time.sleep(0.05)


def _holds(condition):
    try:
        return condition()
    except urllib.error.HTTPError as error:
        if error.code == 503:
            return False
        raise


@contextmanager
def running_prometheus(target, folder):
    """Yield a `Prometheus` that scrapes ``target`` (host:port) twice a second."""
    binary = shutil.which("prometheus") or shutil.which("prometheus", path="/usr/bin")
    if binary is None:
        pytest.fail("there is no prometheus; install Debian's package `prometheus`")
    config, log = folder / "prometheus.yml", folder / "prometheus.log"
    config.write_text(_CONFIG.format(target=target))
    command = [
        binary, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0", "--enable-feature=exemplar-storage",
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)
    try:
        yield Prometheus(_address(process, log))
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process, log):
    def listening():
        if process.poll() is not None:
            pytest.fail(f"prometheus ended at once:\n{log.read_text()}")
        return _LISTENING.search(log.read_text())

    wait_until(listening, "prometheus listens")
    return listening()[1]
