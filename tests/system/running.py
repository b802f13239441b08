"""Real gateways and simulators for tests: started on free ports, awaited, stopped, proven gone.

Use the fixtures `start_gateway` and `start_simulator`; the context managers under them serve
fixtures of a wider scope. Nothing of these processes outlives a test, or the test fails.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.system.processes import Found, belonging_to

DEADLINE_S = 60.0
"""How long anything may take before a test calls it hung: generous, the machine may be busy."""

ROOT = Path(__file__).parents[2]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the long test of churn be made shorter or longer."""
    parser.addoption("--churn-minutes", type=float, default=30.0, help="length of the churn")


def eventually(
    check: Callable[[], Any],
    what: str,
    *,
    deadline_s: float = DEADLINE_S,
    every_s: float = 0.05,
) -> Any:
    """Return the first true value of ``check``; an HTTP or socket failure counts as false."""
    ends_at = time.monotonic() + deadline_s
    while True:
        last: Any
        try:
            if last := check():
                return last
        except (httpx.HTTPError, OSError) as error:
            last = error
        if time.monotonic() > ends_at:
            pytest.fail(f"after {deadline_s:g} s still not: {what} (last seen: {last!r})")
        time.sleep(every_s)


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ports of 127.0.0.1 that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass
class Running:
    """A process under test and the log that holds all it wrote."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def pid(self) -> int:
        """The process' id."""
        return self.process.pid

    def log_text(self) -> str:
        """Return what it wrote so far."""
        return self.log.read_text(errors="replace")

    def must_run(self) -> None:
        """Fail the test, with the log, if the process ended."""
        if self.process.poll() is not None:
            pytest.fail(f"ended with {self.process.returncode}:\n{self.log_text()[-8000:]}")

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Send ``by`` if it still runs, wait for its end and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        return self.process.wait(timeout=DEADLINE_S)

    def end_by_force(self) -> None:
        """Kill it, whatever state it is in."""
        self.process.kill()
        self.process.wait(timeout=DEADLINE_S)


@dataclass
class RunningGateway(Running):
    """A ``trtllm-gateway serve`` with its ports and its state directory."""

    admin_url: str
    state_dir: Path
    instances: set[bytes] = field(default_factory=set)

    def family(self) -> list[Found]:
        """Return its running processes: supervisor, workers, replicas."""
        found = belonging_to(self.state_dir, frozenset(self.instances))
        self.instances.update(each.instance for each in found if each.instance)
        return found

    def admin(self, path: str) -> Any:
        """Return the JSON of a GET on the admin port."""
        answer = httpx.get(self.admin_url + path, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def ready_replicas(self, model: str) -> list[dict[str, Any]]:
        """Return the admin API's view of the model's READY replicas."""
        replicas = self.admin("/admin/replicas")["items"]
        return [r for r in replicas if r["model"] == model and r["state"] == "ready"]

    def wait_ready(self, replicas: Mapping[str, int]) -> None:
        """Wait until the data port serves and each model has so many READY replicas."""

        def serves() -> bool:
            self.must_run()
            return httpx.get(self.url + "/ready", timeout=10).status_code == 200 and all(
                len(self.ready_replicas(model)) >= count for model, count in replicas.items()
            )

        eventually(serves, f"{dict(replicas)} ready; log:\n{self.log_text()[-4000:]}")


@contextmanager
def running(
    argv: Sequence[str], log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``argv`` in its own session, writing to ``log``; kill it at the end if need be."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environ or {})},
            start_new_session=True,  # a Ctrl-C at the tests is ours to pass on
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=DEADLINE_S)


@contextmanager
def running_simulator(
    folder: Path, *args: str, model: str = "nvidia/Llama-3.3-70B-Instruct-FP8"
) -> Iterator[Running]:
    """Run one simulated trtllm-serve; ``args`` are more options of ``trtllm-gateway sim``."""
    (port,) = free_ports(1)
    log = folder / f"simulator-{port}.log"
    argv = [sys.executable, "-m", "backends.simulator", "--model", model, "--port", str(port)]
    with running([*argv, *args], log) as process:
        simulator = Running(process, f"http://127.0.0.1:{port}", log)

        def healthy() -> bool:
            simulator.must_run()
            return httpx.get(simulator.url + "/health", timeout=10).status_code == 200

        eventually(healthy, "the simulator is healthy")
        yield simulator
        print(f"--- {log.name}\n{simulator.log_text()[-8000:]}")  # noqa: T201 - pytest shows it when the test fails


def gateway_config(folder: Path, **sections: Any) -> dict[str, Any]:
    """Return a configuration on free loopback ports without keys, ``sections`` over it."""
    port, admin_port = free_ports(2)
    config: dict[str, Any] = {
        "server": {"port": port, "workers": 2, "drain_delay_s": 0, "replicas_on_exit": "stop"},
        "admin": {"port": admin_port, "auth": "none"},
        "auth": {"mode": "none"},
        "state": {"dir": str(folder / "state")},
    }
    for name, section in sections.items():
        own = config.get(name)
        config[name] = {**own, **section} if isinstance(own, dict) else section
    return config


def _configured(
    folder: Path, config: Mapping[str, Any] | None
) -> tuple[list[str], dict[str, str], Mapping[str, Any]]:
    """Return options and environment that configure ``serve``, and the settings they give."""
    if config is not None:
        file = folder / "gateway.yaml"
        file.write_text(yaml.safe_dump(dict(config)))
        return ["--config", str(file)], {}, config
    settings = gateway_config(folder)
    places = {("server", "port"), ("admin", "port"), ("state", "dir")}
    environ = {f"TRTGW_{a}__{b}".upper(): str(settings[a][b]) for a, b in places}
    return [], environ, settings


@contextmanager
def running_gateway(
    folder: Path,
    *args: str,
    config: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    ready: Mapping[str, int] | None = None,
    expect_left: bool = False,
) -> Iterator[RunningGateway]:
    """Run ``trtllm-gateway serve`` until the block ends, then prove that nothing of it is left.

    Args:
        folder: gets the configuration, the log and the state directory; one for each gateway.
        args: more of the command line, such as ``--demo``.
        config: a whole configuration, as `gateway_config` makes it; None: only ports and state
            directory are set, by the environment.
        environ: more environment.
        ready: model -> READY replicas to wait for; None waits for nothing.
        expect_left: the test looks itself after what this gateway leaves.
    """
    options, variables, settings = _configured(folder, config)
    command = [str(Path(sys.executable).with_name("trtllm-gateway")), "serve", *options, *args]
    log = folder / "gateway.log"
    with running(command, log, {**variables, **(environ or {})}) as process:
        gateway = RunningGateway(
            process=process,
            url=f"http://127.0.0.1:{settings['server']['port']}",
            log=log,
            admin_url=f"http://127.0.0.1:{settings['admin']['port']}",
            state_dir=Path(settings["state"]["dir"]),
        )
        with _ended(gateway, expect_left=expect_left):
            if ready is not None:
                gateway.wait_ready(ready)
            yield gateway


@contextmanager
def _ended(gateway: RunningGateway, *, expect_left: bool) -> Iterator[None]:
    """Stop the gateway after the block, as an operator would, and look for what is left."""
    try:
        yield
        gateway.family()
        gateway.stop()
        if not expect_left:
            eventually(lambda: not gateway.family(), "no process is left", deadline_s=10)
    finally:
        print(f"--- gateway.log\n{gateway.log_text()[-16000:]}")  # noqa: T201 - pytest shows it when the test fails
        gateway.family()
        gateway.end_by_force()
        if not expect_left:
            for left in gateway.family():
                with suppress(ProcessLookupError):
                    os.kill(left.pid, signal.SIGKILL)


@pytest.fixture
def start_simulator(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Return a function that runs a simulator (`running_simulator`) until the test ends."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(
            running_simulator(tmp_path, *args, **options)
        )


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[Callable[..., RunningGateway]]:
    """Return a function that runs a gateway (`running_gateway`) until the test ends."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(
            running_gateway(tmp_path, *args, **options)
        )
