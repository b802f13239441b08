"""Which processes of this machine belong to one gateway, so that a test can prove none is left.

A replica that lost its parent keeps two traces: its environment (``TRTGW_INSTANCE``) and the
files of the state directory that it has open or names. A process may lack either: both count.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

INSTANCE = b"TRTGW_INSTANCE="


@dataclass(frozen=True)
class Found:
    """One process that belongs to the gateway."""

    pid: int
    command: str
    instance: bytes | None


def belonging_to(state_dir: Path, instances: frozenset[bytes] = frozenset()) -> list[Found]:
    """Return the running processes that touch ``state_dir`` or carry one of ``instances``."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # it ended while we looked
            process = _inspect(entry, str(state_dir).encode(), instances)
            if process is not None:
                found.append(process)
    return found


def _inspect(entry: Path, state_dir: bytes, instances: frozenset[bytes]) -> Found | None:
    if _state(entry) in "ZX":
        return None
    environ = (entry / "environ").read_bytes().split(b"\0")
    command = (entry / "cmdline").read_bytes()
    instance = next((v.removeprefix(INSTANCE) for v in environ if v.startswith(INSTANCE)), None)
    traces = [*environ, command, *_links(entry)]
    if instance in instances or any(state_dir in trace for trace in traces):
        return Found(int(entry.name), command.replace(b"\0", b" ").decode(), instance)
    return None


def _state(entry: Path) -> str:
    return (entry / "stat").read_text().rpartition(")")[2].split()[0]


def _links(entry: Path) -> list[bytes]:
    links = []
    for link in [entry / "cwd", *(entry / "fd").iterdir()]:
        with suppress(OSError):
            links.append(str(link.readlink()).encode())
    return links
