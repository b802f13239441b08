"""Start processes on cores of their own, and end every one of them, also after Ctrl-C.

Each gets a session of its own: Ctrl-C reaches the benchmark alone, which then ends what it
started by pid, in the reverse order.
"""

import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from tests.bench import procfs
from tests.bench.building import CannotMeasure

ROOT = Path(__file__).parents[2]
_END_S = 10.0
_LOOK_S = 0.05


@contextmanager
def pinned(cores: Collection[int]) -> Iterator[None]:
    """Let what is started in the block run on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pin(pid: int, cores: Collection[int]) -> None:
    """Move a running process with all its threads to these cores."""
    for thread in procfs.threads(pid):
        with suppress(ProcessLookupError):
            os.sched_setaffinity(thread, cores)


@contextmanager
def running(
    argv: Sequence[str | Path],
    cores: Collection[int],
    log: Path,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``argv`` on ``cores``, its output in ``log``, until the block ends."""
    with log.open("ab") as output, pinned(cores):
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end; kill it and its descendants when it does not."""
    family = procfs.tree(process.pid)
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in family[1:]:
        _kill_if_left(pid)


def _kill_if_left(pid: int) -> None:
    ends_at = time.monotonic() + _END_S
    while procfs.threads(pid) and time.monotonic() < ends_at:
        time.sleep(_LOOK_S)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def await_true(
    check: Callable[[], object], what: str, log: Path, *, limit_s: float = 60.0
) -> None:
    """Wait until ``check`` returns something true; an OSError counts as false.

    Raises:
        CannotMeasure: it did not within ``limit_s``; the message shows the end of ``log``.
    """
    ends_at = time.monotonic() + limit_s
    while True:
        with suppress(OSError):
            if check():
                return
        if time.monotonic() > ends_at:
            said = log.read_text(errors="replace")[-2000:]
            raise CannotMeasure(f"after {limit_s:g} s still not: {what}\n{said}")
        time.sleep(_LOOK_S)


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ports of 127.0.0.1 that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def allow_many_connections() -> None:
    """Raise the number of open files that processes started from here may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def unwind_on_signals() -> None:
    """Let Ctrl-C and SIGTERM leave every block in order; a second one cannot cut that short."""

    def unwind(number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, unwind)
