"""What takes part in a measurement: the mock replica, nginx, the gateway with all it can do.

The gateway under test leaves nothing out that a user would have on: API keys with limits,
metrics, traces that really leave, a log at info, usage asked for and withheld. nginx forwards
bytes and does none of that; the ratio is the price of the difference.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.bench import procfs
from tests.bench.building import KEY, CannotMeasure, Programs
from tests.bench.processes import await_true, free_ports, running
from tests.bench.scenarios import MODEL

SAMPLE_SHARE = 0.01
_TEMPLATE = Path(__file__).parent / "nginx.conf"
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
_RPM = 1_000_000
"""The most that can be set, and twice what comes: counted against, never reached."""
_MANY = 65_536


@dataclass(frozen=True, slots=True)
class Subject:
    """A running proxy: where it listens, and its processes."""

    name: str
    port: int
    pid: int
    """Of the process that was started; its descendants count too."""
    workers: tuple[int, ...]
    """Of those that carry the streams."""
    log: Path
    """What it wrote, all of it after its end."""
    admin_port: int | None = None


@dataclass(frozen=True, slots=True)
class Mock:
    """A running mock replica, which is also the collector of the gateway's spans."""

    port: int
    pid: int

    def stats(self) -> Mapping[str, int]:
        """Return its counts: requests, chunks, open requests, batches of spans."""
        counts: dict[str, int] = httpx.get(f"http://127.0.0.1:{self.port}/stats").json()
        return counts


@contextmanager
def running_mock(programs: Programs, folder: Path, cores: Collection[int]) -> Iterator[Mock]:
    """Run one mock replica."""
    (port,) = free_ports(1)
    log = folder / f"mock-{port}.log"
    with running([programs.mock, str(port), MODEL], cores, log) as process:
        mock = Mock(port, process.pid)
        await_true(lambda: _answers(f"http://127.0.0.1:{port}/health"), "the mock runs", log)
        yield mock


@contextmanager
def running_nginx(upstream: int, folder: Path, cores: Collection[int]) -> Iterator[Subject]:
    """Run nginx in front of the mock at port ``upstream``."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{_SBIN}")
    if program is None:
        raise CannotMeasure(
            "nginx is not installed: apt-get install --no-install-recommends nginx"
        )
    (port,) = free_ports(1)
    values = {"@FOLDER@": str(folder), "@PORT@": str(port), "@UPSTREAM@": str(upstream)}
    text = _TEMPLATE.read_text()
    for mark, value in values.items():
        text = text.replace(mark, value)
    (folder / "nginx.conf").write_text(text)
    log = folder / "nginx.log"
    argv = [program, "-c", folder / "nginx.conf", "-e", folder / "nginx.err"]
    with running(argv, cores, log) as process:
        await_true(lambda: _generates(port), "nginx forwards", log)
        yield Subject("nginx", port, process.pid, (process.pid,), log)


def nginx_version() -> str:
    """Return the version of the nginx that `running_nginx` runs."""
    said = subprocess.run([_nginx(), "-v"], capture_output=True, text=True, check=True).stderr
    return said.strip().rpartition("/")[2]


def _nginx() -> str:
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{_SBIN}")
    if program is None:
        raise CannotMeasure(
            "nginx is not installed: apt-get install --no-install-recommends nginx"
        )
    return program


@contextmanager
def running_gateway(
    mocks: Sequence[Mock],
    folder: Path,
    cores: Collection[int],
    *,
    workers: int = 1,
) -> Iterator[Subject]:
    """Run the gateway in front of ``mocks``, every feature on."""
    port, admin_port = free_ports(2)
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(_config(mocks, folder, (port, admin_port), workers)))
    log = folder / "gateway.log"
    serve = "from gateway.cli import main; main()"
    argv = [sys.executable, "-c", serve, "serve", "--config", file]
    with running(argv, cores, log) as process:
        await_true(
            lambda: (
                process.poll() is not None
                or (len(_workers(process.pid)) == workers and _generates(port))
            ),
            "the gateway serves",
            log,
        )
        if process.poll() is not None:
            raise CannotMeasure(f"the gateway ended at its start:\n{log.read_text()[-4000:]}")
        yield Subject("gateway", port, process.pid, _workers(process.pid), log, admin_port)


def _config(
    mocks: Sequence[Mock], folder: Path, ports: tuple[int, int], workers: int
) -> dict[str, Any]:
    key_file = folder / "bench.key"
    key_file.write_text(KEY)
    key_file.chmod(0o600)
    limits = {"rpm": _RPM, "streams": _MANY}  # tpm cannot be set above what a run uses
    return {
        "server": {"port": ports[0], "workers": workers, "drain_delay_s": 0, "grace_s": 1},
        "admin": {"port": ports[1], "auth": "none"},
        "auth": {
            "mode": "keys",
            "keys": [{"name": "bench", "key_file": str(key_file), "limits": limits}],
        },
        "state": {"dir": str(folder / "state")},
        "telemetry": {
            "otlp_endpoint": f"http://127.0.0.1:{mocks[0].port}",
            "sample_share": SAMPLE_SHARE,
            "log": {"level": "info"},
        },
        "defaults": {"limits": {"concurrency": _MANY, "queue": _MANY}},
        "models": [
            {"name": MODEL, "static": [f"http://127.0.0.1:{mock.port}" for mock in mocks]}
        ],
    }


def _workers(pid: int) -> tuple[int, ...]:
    found = [each for each in procfs.tree(pid) if "gateway.worker" in procfs.command(each)]
    return tuple(sorted(found))


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _generates(port: int) -> bool:
    try:
        answer = httpx.post(
            f"http://127.0.0.1:{port}/v1/completions",
            json={"model": MODEL, "prompt": "MOCK n=4", "max_tokens": 4},
            headers={"authorization": f"Bearer {KEY}"},
            timeout=10,
        )
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK
