"""Launch replicas as processes of this host.

Nothing is remembered but what the processes themselves carry: their environment holds the tags
that `adopt` looks for, so a gateway that was killed at any point finds every replica again, and
what it does not find does not exist.
"""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from backends import logfile, procfs
from backends.causes import LOG_LINES, classify, stopped
from backends.exit_watch import ExitWatch
from backends.launch_lock import launch_lock
from backends.launcher import CapacityError, Exit, LogLine, Remedy, StopNotProven
from backends.ports import Ports
from backends.process_tree import end_tree
from backends.replica import Replica, ReplicaId, ReplicaSpec
from backends.spawn import Home, launch_failure, spawn

_SETTLE_S = 5.0
"""How long ranks may go on after their leader ended: idle ones take 1 to 4 s."""
_TEND_EVERY_S = 10.0
_FOLLOW_PAUSE_S = 0.2
_REMEMBERED_EXITS = 1000


@dataclass(slots=True)
class _Running:
    """A replica whose leader runs."""

    replica: Replica
    watch: ExitWatch
    asked_to_end: bool = False


class ProcessLauncher:
    """Launches replicas as processes that outlive the gateway; simulated ones as ``sim``."""

    def __init__(
        self,
        folder: Path,
        instance: str,
        *,
        name: str = "process",
        environ: Mapping[str, str] | None = None,
        ports: Ports | None = None,
        clock: Callable[[], float],
    ) -> None:
        """Keep files and logs under ``folder``, and own the replicas tagged with ``instance``.

        Args:
            folder: one directory for each replica is made in it.
            instance: the fleet's id; launchers of other fleets leave its replicas alone.
            name: launchers of one fleet with different names leave each other's replicas alone.
            environ: what replicas may inherit from, filtered; this process's own by default.
            ports: where replicas may listen, on loopback.
            clock: Unix time, for log lines.
        """
        self._folder = folder
        self._instance = instance
        self._name = name
        self._environ = os.environ if environ is None else environ
        self._ports = ports or Ports()
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._exits: dict[str, tuple[int | None, bool]] = {}
        """Replica id -> exit code, and whether it was asked to end."""
        self._dead: frozenset[tuple[int, int]] = frozenset()
        self._lock = folder / f".{name}.lock"
        self._timer: asyncio.TimerHandle | None = None

    async def launch(self, spec: ReplicaSpec, replica_id: ReplicaId) -> Replica:
        """Start a process of its own session; see `Launcher.launch`."""
        try:
            async with launch_lock(self._lock):
                found = await self._find(replica_id)
                if found is not None:
                    return found.replica
                await end_tree(partial(self._tagged, replica_id), settle_s=0)
                return self._start(spec, replica_id)
        except StopNotProven as left:
            raise CapacityError(f"its former processes are {left}") from left
        except OSError as error:
            raise launch_failure(
                error, f"replicas cannot be started in {self._folder}"
            ) from error

    async def stop(self, replica_id: ReplicaId, *, grace_s: float) -> None:
        """Ask the leader, then end all that carry the replica's tags; see `Launcher.stop`.

        Only the leader is asked: it ends its ranks in order, and they would only be disturbed.
        """
        running = await self._find(replica_id)
        settle_s = min(_SETTLE_S, grace_s)
        if running is not None:
            running.asked_to_end = True
            running.watch.send(signal.SIGTERM)
            try:
                await asyncio.wait_for(running.watch.gone.wait(), grace_s)
            except TimeoutError:
                settle_s = 0
        await end_tree(partial(self._tagged, replica_id), settle_s=settle_s)
        if running is not None:
            await running.watch.gone.wait()

    async def adopt(self) -> AsyncIterator[Replica]:
        """Yield what runs, and end ranks whose leader is gone; see `Launcher.adopt`."""
        async with launch_lock(self._lock):
            found = await asyncio.to_thread(self._tagged)
        led = {process.tags[procfs.REPLICA_ID] for process in found if process.is_leader}
        for process in found:
            replica_id = process.tags[procfs.REPLICA_ID]
            if process.is_leader:
                running = self._running.get(replica_id) or self._adopt(process)
                if running is not None:
                    yield running.replica
            elif replica_id not in led:
                await end_tree(partial(self._tagged, replica_id), settle_s=0)

    async def ended(self, replica_id: ReplicaId) -> Exit | None:
        """Say how it ended; see `Launcher.ended`."""
        if replica_id not in self._exits:
            if await self._find(replica_id) is not None:
                return None
            if not self._home(replica_id).log.exists():
                return Exit(
                    None, "unknown", "no such replica was ever started here", Remedy.RETRY
                )
        code, asked = self._exits.get(replica_id, (None, False))
        if asked:
            return stopped(code)
        lines, _ = await asyncio.to_thread(logfile.tail, self._home(replica_id).log, LOG_LINES)
        return classify(lines, code)

    async def logs(
        self, replica_id: ReplicaId, *, tail: int, follow: bool
    ) -> AsyncIterator[LogLine]:
        """Yield lines of the log; a follower is let go when the replica has ended."""
        if follow:
            await self._find(replica_id)
        path = self._home(replica_id).log
        lines, reader = await asyncio.to_thread(logfile.tail, path, tail)
        while True:
            for line in lines:
                yield LogLine(self._clock(), "output", line)
            if not follow:
                return
            runs = replica_id in self._running  # asked before reading: no last line is missed
            lines = reader.new_lines()
            if not lines and not runs:
                follow, lines = False, reader.rest()
            elif not lines:
                await asyncio.sleep(_FOLLOW_PAUSE_S)

    async def close(self) -> None:
        """Stop watching and give the ports back; see `Launcher.close`."""
        if self._timer is not None:
            self._timer.cancel()
        for running in self._running.values():
            running.watch.close()
        self._running.clear()
        self._ports.close()

    def _home(self, replica_id: str) -> Home:
        return Home(self._folder / replica_id.replace("/", "_"))

    def _tagged(self, replica_id: str | None = None) -> list[procfs.TaggedProcess]:
        found = procfs.find_tagged(self._instance, self._name)
        return [p for p in found if replica_id in (None, p.tags.get(procfs.REPLICA_ID))]

    def _start(self, spec: ReplicaSpec, replica_id: ReplicaId) -> Replica:
        port = self._ports.take()
        try:
            tags = {
                procfs.INSTANCE: self._instance,
                procfs.LAUNCHER: self._name,
                procfs.REPLICA_ID: replica_id,
            }
            pidfd, replica = spawn(
                spec,
                replica_id,
                self._home(replica_id),
                port=port,
                environ=self._environ,
                tags=tags,
            )
        except BaseException:
            self._ports.free(port)
            raise
        self._watch(replica, pidfd)
        return replica

    def _adopt(self, process: procfs.TaggedProcess) -> _Running | None:
        pidfd = procfs.open_pidfd(process.pid, process.stat.start_ticks)
        if pidfd is None:
            return None
        replica_id, url = process.tags[procfs.REPLICA_ID], process.tags[procfs.URL]
        port = int(url.rpartition(":")[2])
        self._ports.reserve(port)
        replica = Replica(
            ReplicaId(replica_id),
            url,
            self._home(replica_id).handle(process.pid, process.stat.start_ticks, port),
            process.tags.get(procfs.SPEC_HASH, ""),
        )
        return self._watch(replica, pidfd)

    async def _find(self, replica_id: str) -> _Running | None:
        """Return the replica if its leader runs, adopting what this object did not start."""
        if replica_id in self._running:
            return self._running[replica_id]
        for process in await asyncio.to_thread(self._tagged, replica_id):
            if process.is_leader:
                return self._running.get(replica_id) or self._adopt(process)
        return None

    def _watch(self, replica: Replica, pidfd: int) -> _Running:
        watch = ExitWatch(pidfd, partial(self._gone, replica.id))
        running = self._running[replica.id] = _Running(replica, watch)
        self._exits.pop(replica.id, None)
        if self._timer is None:
            self._tend_later()
        return running

    def _gone(self, replica_id: str) -> None:
        running = self._running.pop(replica_id)
        self._ports.free(running.replica.handle["port"])
        self._exits[replica_id] = (running.watch.code, running.asked_to_end)
        while len(self._exits) > _REMEMBERED_EXITS:
            self._exits.pop(next(iter(self._exits)))

    def _tend_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_TEND_EVERY_S, self._tend)

    def _tend(self) -> None:
        """Rotate logs and collect orphans; a timer and no task, for it never waits.

        Who waits for a child collects it at once: one that was dead a round ago already is an
        orphan that came to this process as its subreaper.
        """
        dead = procfs.dead_children()
        for pid, _ in dead & self._dead:
            procfs.collect(pid)
        self._dead = dead
        loop = asyncio.get_running_loop()
        for replica_id in self._running:
            rotation = loop.run_in_executor(None, logfile.rotate, self._home(replica_id).log)
            rotation.add_done_callback(_report)
        self._tend_later()


def _report(rotation: asyncio.Future[bool]) -> None:
    if not rotation.cancelled() and (error := rotation.exception()) is not None:
        logging.getLogger(__name__).warning("a replica's log could not be rotated: %s", error)
