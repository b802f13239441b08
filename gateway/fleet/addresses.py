"""Ids of replicas, which every launcher can use as names, and their addresses taken apart."""

import hashlib
import re
from urllib.parse import urlsplit

from backends.replica import ReplicaId

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_NAME_LENGTH = 40
"""With the suffix this stays below the 63 characters of a DNS label."""


def replica_id_of(model: str, origin: str) -> ReplicaId:
    """Derive an id from the model and what asked for the replica: a retry gets the same."""
    digest = hashlib.blake2b(origin.encode(), digest_size=4).hexdigest()
    return ReplicaId(f"{_slug(model)}-{digest}")


def static_id_of(url: str) -> ReplicaId:
    """Derive the id of a replica that somebody else runs from its `core.hosts.replica_url`."""
    return replica_id_of(f"static-{urlsplit(url).netloc}", url)


def host_and_port(url: str) -> tuple[str, int]:
    """Take a URL of `core.hosts.replica_url` apart."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 80


def _slug(text: str) -> str:
    return (
        _NOT_IN_NAMES.sub("-", text.lower()).strip("-")[:_NAME_LENGTH].strip("-") or "replica"
    )
