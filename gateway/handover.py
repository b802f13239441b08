"""What a gateway hands on to itself when it starts anew in the same process.

`leave` replaces the program by a fresh one of the same command line, so new code and a new
configuration are read; the process keeps its id, its children, the lock on the state directory
and, listening all the while, its sockets. Rule: nothing between `leave` and the signals'
handlers of the next program may take long: signals wait meanwhile.
"""

import os
import signal
import socket
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import IO, NoReturn

import msgspec

_VARIABLE = "TRTLLM_GATEWAY_HANDED_ON"
SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2})


class _Descriptors(msgspec.Struct, frozen=True):
    pid: int
    """Whose they are: a child that inherits the environment inherits none of them."""
    lock: int
    admin: int
    data: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HandedOn:
    """What is open when the program begins; the next owner closes it."""

    lock: IO[str]
    admin_socket: socket.socket
    data_sockets: Sequence[socket.socket]


def handed_on(environ: MutableMapping[str, str]) -> HandedOn | None:
    """Take up what this process left itself; None at a first start, and at a second call.

    Changes: ``environ`` loses the note of it, so that no child can mistake it for its own.
    """
    text = environ.pop(_VARIABLE, None)
    if text is None:
        return None
    given = msgspec.json.decode(text, type=_Descriptors)
    if given.pid != os.getpid():
        return None
    for descriptor in (given.lock, given.admin, *given.data):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the library's signature
    return HandedOn(
        lock=os.fdopen(given.lock, "a+", encoding="ascii"),
        admin_socket=_socket(given.admin),
        data_sockets=[_socket(descriptor) for descriptor in given.data],
    )


def leave(
    what: HandedOn, command: Sequence[str], environ: Mapping[str, str], *, ending: bool = False
) -> NoReturn:
    """Become a fresh program that finds ``what`` by `handed_on`.

    With ``ending`` it is told to end at once: this one was, when it had gone too far.

    Raises:
        OSError: there is no such program; nothing was given away, but signals are blocked.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if ending:
        signal.raise_signal(signal.SIGTERM)
    lock, admin = what.lock.fileno(), what.admin_socket.fileno()
    data = tuple(sock.fileno() for sock in what.data_sockets)
    for descriptor in (lock, admin, *data):
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - the library's signature
    note = msgspec.json.encode(_Descriptors(os.getpid(), lock, admin, data)).decode()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], list(command), {**environ, _VARIABLE: note})  # noqa: S606 - its own command line, no shell


def let_signals_in() -> None:
    """Take the signals that came since `leave`; call it when their handlers are there."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def own_command() -> list[str]:
    """Return the command line that this program was started with."""
    return [sys.executable, *sys.orig_argv[1:]]


def _socket(descriptor: int) -> socket.socket:
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)  # noqa: FBT003 - the library's signature
    return sock
