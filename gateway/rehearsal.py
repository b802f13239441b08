"""Try a start before it is made: a restart in place must not find out too late that it cannot.

The supervisor runs its own command line once more as a child that only looks: the child reads
the configuration and the secrets with the code that is there now, and says what is wrong.
Rule: a rehearsal opens no port, takes no lock and changes no file.
"""

import asyncio
import os
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress

import msgspec

from gateway.config import Config
from gateway.config.secrets import (
    SecretUnusable,
    admin_tokens,
    api_keys,
    key_pepper,
    replica_environ,
)

_VARIABLE = "TRTLLM_GATEWAY_REHEARSAL"
_LONGEST_S = 60.0


class Fixed(msgspec.Struct, frozen=True):
    """What cannot change while the process stays: its sockets and its lock hold it."""

    host: str
    port: int
    admin_host: str
    admin_port: int
    state_dir: str


def fixed(config: Config) -> Fixed:
    """Return what a restart in place must find unchanged."""
    return Fixed(
        host=config.server.host,
        port=config.server.port,
        admin_host=config.admin.host,
        admin_port=config.admin.port,
        state_dir=str(config.state.dir),
    )


_KEYS = {
    "host": "server.host",
    "port": "server.port",
    "admin_host": "admin.host",
    "admin_port": "admin.port",
    "state_dir": "state.dir",
}


def rehearsed(environ: MutableMapping[str, str]) -> Fixed | None:
    """Return what must be unchanged, if this start is a rehearsal."""
    text = environ.pop(_VARIABLE, None)
    return None if text is None else msgspec.json.decode(text, type=Fixed)


def problems(config: Config, before: Fixed) -> list[str]:
    """Return why a gateway that runs as ``before`` cannot go on as ``config`` says."""
    now = msgspec.structs.asdict(fixed(config))
    changed = [
        f"{_KEYS[name]} was {value!r} and is {now[name]!r} now: that takes an end and a start"
        for name, value in msgspec.structs.asdict(before).items()
        if now[name] != value
    ]
    if changed:
        return changed
    try:
        pepper = key_pepper(config.state.dir)
        admin_tokens(config, pepper)
        api_keys(config, pepper)
        replica_environ(config, {})
    except SecretUnusable as problem:
        return [str(problem)]
    return []


async def rehearse(
    command: Sequence[str], before: Fixed, environ: Mapping[str, str]
) -> str | None:
    """Run ``command`` as a rehearsal; return None if it would start, else what it said."""
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            env={**environ, _VARIABLE: msgspec.json.encode(before).decode()},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as problem:
        return f"{command[0]} cannot be started ({problem.strerror or os.strerror(0)})"
    try:
        async with asyncio.timeout(_LONGEST_S):
            said, _ = await child.communicate()
    except TimeoutError:
        return f"the new start was not ready to begin within {_LONGEST_S:g} s"
    finally:
        with suppress(ProcessLookupError):
            if child.returncode is None:
                child.kill()
    if child.returncode == 0:
        return None
    return said.decode(errors="replace").strip() or f"it ended with code {child.returncode}"
