"""Names and addresses of replicas: ids for every launcher, URLs that workers can dial."""

import hashlib
import re
from urllib.parse import SplitResult, urlsplit

from backends.replica import ReplicaId
from gateway.fleet.errors import BadUrl

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_NAME_LENGTH = 40
"""With the suffix this stays below the 63 characters of a DNS label."""


def replica_id_of(model: str, origin: str) -> ReplicaId:
    """Derive an id from the model and what asked for the replica: a retry gets the same."""
    digest = hashlib.blake2b(origin.encode(), digest_size=4).hexdigest()
    return ReplicaId(f"{_slug(model)}-{digest}")


def static_id_of(url: str) -> ReplicaId:
    """Derive the id of a replica that somebody else runs from its normal `replica_url`."""
    return replica_id_of(f"static-{urlsplit(url).netloc}", url)


def replica_url(text: str) -> str:
    """Return the normal form of a replica's address, ``http://host:port``.

    Raises:
        BadUrl: it has no host, another scheme, or more than host and port.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as problem:
        raise BadUrl(f"{text!r} is no address of a replica: {problem}") from problem
    if parts.scheme != "http" or not host or _has_more(parts):
        raise BadUrl(
            f"{text!r} is no address of a replica: give http://host:port, without a path"
        )
    return f"http://{f'[{host}]' if ':' in host else host}:{port or 80}"


def host_and_port(url: str) -> tuple[str, int]:
    """Take a normal `replica_url` apart."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 80


def _has_more(parts: SplitResult) -> bool:
    return parts.path not in {"", "/"} or bool(
        parts.query or parts.fragment or parts.username or parts.password
    )


def _slug(text: str) -> str:
    return (
        _NOT_IN_NAMES.sub("-", text.lower()).strip("-")[:_NAME_LENGTH].strip("-") or "replica"
    )
