"""Notice the end of one process through its pidfd, be it a child or an adopted stranger.

A pidfd stands for one process for ever, so neither the watch nor its signals can hit a reused
pid. Only a child's exit code can be known.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress


class ExitWatch:
    """Watches one process until it ends or `close` is called."""

    def __init__(self, pidfd: int, on_exit: Callable[[], None]) -> None:
        """Take over ``pidfd``; call ``on_exit`` from the event loop when its process ends."""
        self.code: int | None = None
        """Exit code, negative for a signal; None while it runs and for a process of others."""
        self.gone = asyncio.Event()
        self._pidfd = pidfd
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(pidfd, self._ended)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if the process is gone."""
        if not self.gone.is_set():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def close(self) -> None:
        """Stop watching; the process is left alone. Safe to call twice."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _ended(self) -> None:
        with suppress(ChildProcessError):  # adopted: its parent alone learns the code
            info = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
            if info is not None:
                by_itself = info.si_code == os.CLD_EXITED
                self.code = info.si_status if by_itself else -info.si_status
        self.close()
        self.gone.set()
        self._on_exit()
