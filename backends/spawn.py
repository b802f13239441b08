"""Start one replica's process: files, command, environment, log; then let go of it.

The process is a session leader with its output in a file: neither a signal to the gateway's
group nor the gateway's end reaches it.
"""

import errno
import os
import re
import shlex
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends import procfs
from backends.environment import replica_environment
from backends.launcher import CapacityError, LaunchError
from backends.logfile import older
from backends.replica import Replica, ReplicaId, ReplicaSpec, spec_hash

HOST = "127.0.0.1"
_LATER = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC})
_NAME_ITSELF = f'export {procfs.LEADER}=$$; exec "$@"'
"""The pid is known only inside; `exec` keeps it, and all descendants inherit the variable."""
_DEFAULTED = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
)
"""What this process ignores or handles must not be inherited as ignored."""


@dataclass(frozen=True, slots=True)
class Home:
    """One replica's directory: its files and its log."""

    folder: Path

    @property
    def log(self) -> Path:
        """What the replica writes."""
        return self.folder / "output.log"

    def handle(self, pid: int, start_ticks: int, port: int) -> dict[str, Any]:
        """Return what finds the process again and tells it from a later one of that pid."""
        return {
            "pid": pid,
            "start_ticks": start_ticks,
            "boot_id": procfs.boot_id(),
            "port": port,
            "log": str(self.log),
        }

    def prepare(self, files: Mapping[str, str]) -> None:
        """Write the files and put an earlier life's log aside."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in files.items():
            (self.folder / name).write_text(text, encoding="utf-8")
        if self.log.exists():
            self.log.replace(self.folder / "output.previous.log")
        older(self.log).unlink(missing_ok=True)


def spawn(
    spec: ReplicaSpec,
    replica_id: ReplicaId,
    home: Home,
    *,
    port: int,
    environ: Mapping[str, str],
    tags: Mapping[str, str],
) -> tuple[int, Replica]:
    """Start ``spec`` and return its pidfd and the replica; the caller collects the child.

    Raises:
        LaunchError: the command is missing or cannot be run.
        CapacityError: the host has no memory, process or disk space for it now.
    """
    url, digest = f"http://{HOST}:{port}", spec_hash(spec)
    tags = {**tags, procfs.URL: url, procfs.SPEC_HASH: digest}
    environment = replica_environment(spec, environ, tags=tags, root=os.geteuid() == 0)
    argv = fill(spec, home.folder, port=port)
    program = find_program(argv, environment)
    try:
        home.prepare(spec.files)
        pid = _posix_spawn([program, *argv[1:]], environment, home.log)
        pidfd = _open_pidfd(pid)
    except OSError as error:
        raise launch_failure(error, f"would have run: {shlex.join(argv)}") from error
    stat = procfs.read_stat(pid)  # our child, so it is there, if only as a zombie
    ticks = stat.start_ticks if stat is not None else 0
    return pidfd, Replica(replica_id, url, home.handle(pid, ticks, port), digest)


def launch_failure(error: OSError, what: str) -> LaunchError | CapacityError:
    """Say whether trying later may help."""
    if error.errno in _LATER:
        return CapacityError(f"the host has no room now: {error}; {what}")
    return LaunchError(f"{error}; {what}")


def fill(spec: ReplicaSpec, folder: Path, *, port: int) -> list[str]:
    """Return the command with its placeholders replaced.

    Raises:
        LaunchError: it speaks of a file that the specification does not have.
    """
    values = {"{host}": HOST, "{port}": str(port)}
    values |= {f"{{file:{name}}}": str(folder / name) for name in spec.files}

    def value(match: re.Match[str]) -> str:
        try:
            return values[match[0]]
        except KeyError:
            raise LaunchError(f"{match[0]} in the command: there is no such file") from None

    return [re.sub(r"\{(?:host|port|file:[^{}]*)\}", value, word) for word in spec.argv]


def find_program(argv: list[str], environment: Mapping[str, str]) -> str:
    """Return the path of the command's program.

    Raises:
        LaunchError: it is not there; says what would have run.
    """
    if not argv:
        raise LaunchError("the specification has no command to run")
    path = environment.get("PATH", os.defpath)
    program = shutil.which(argv[0], path=path)
    if program is None:
        hint = (
            "install TensorRT-LLM on this host, or start the gateway inside its container,"
            " or use launcher sim for simulated replicas"
            if argv[0] == "trtllm-serve"
            else "check the command"
        )
        run = shlex.join(argv)
        raise LaunchError(f"{argv[0]} is not on PATH ({path}): {hint}; would have run: {run}")
    return program


def _open_pidfd(pid: int) -> int:
    """Open our child, or end it: one that cannot be watched must not run."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _posix_spawn(argv: list[str], environment: Mapping[str, str], log: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", _NAME_ITSELF, "sh", *argv],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=_DEFAULTED,
    )
