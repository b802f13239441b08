"""Which process of a running gateway is which."""

import os
from pathlib import Path


def worker_pids(gateway):
    """Return the pids of its data plane workers."""
    return [p.pid for p in gateway.family() if "gateway.worker" in p.command]


def replica_pid(gateway, replica_id):
    """Return the pid of the process that a spawned replica's launcher started."""
    tag = f"TRTGW_REPLICA_ID={replica_id}".encode()
    return next(
        p.pid
        for p in gateway.family()
        if tag in Path(f"/proc/{p.pid}/environ").read_bytes().split(b"\0")
    )


def resident_bytes(pid):
    """Return the memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
