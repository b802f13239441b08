"""Which ``Host`` and ``Origin`` may use a port without keys, and how replicas are addressed.

A port without keys is safe only while web pages cannot reach it: a page of any site may send
requests to 127.0.0.1, and a site's own name may be made to resolve there (DNS rebinding). Both
show in these headers.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?:([a-z0-9._~-]+)|\[([0-9a-f:.]+)\])(?::[0-9]{1,5})?")
_SHOWN = 100


def is_loopback(host: str) -> bool:
    """Tell whether a bind address or host name is reachable from this machine alone."""
    name = host.removeprefix("[").removesuffix("]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def allowed_hosts(bind_host: str) -> tuple[str, ...]:
    """Return the names that ``Host`` may carry on a loopback port without keys."""
    own = bind_host.removeprefix("[").removesuffix("]").lower()
    return LOOPBACK_NAMES if own in LOOPBACK_NAMES else (*LOOPBACK_NAMES, own)


def host_problem(
    host: str | None, origin: str | None, allowed: Collection[str] | None
) -> str | None:
    """Say why a request with these headers is refused; None if it is let in.

    ``allowed`` are lower-case names without port or brackets; None lets everything in.
    """
    if allowed is None:
        return None
    if host is None or _host_name(host) not in allowed:
        return (
            f"Host {_shown(host)} is not a loopback name; without keys this port"
            f" answers only to {', '.join(sorted(allowed))}"
        )
    if origin is not None and _origin_name(origin) not in allowed:
        return (
            f"Origin {_shown(origin)} is foreign; without keys this port answers only to pages"
            f" of {', '.join(sorted(allowed))}"
        )
    return None


def replica_url(text: str) -> str:
    """Return ``text`` as ``http://host:port``, the one form in which replicas are addressed.

    Raises:
        ValueError: it has another form; the message says which part is wrong.
    """
    parts, port = _split(text)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"must be http://host:port (replicas speak plain HTTP), not {text!r}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not carry a user name or password")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(
            f"must end after the port: leave out {text.split(parts.netloc, 1)[1]!r}"
        )
    if port is None:
        raise ValueError(f"must name a port, such as http://{parts.hostname}:8000")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"http://{host}:{port}"


def _split(text: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"is not a URL ({error}): {text!r}") from None
    if any(c.isspace() or not c.isprintable() for c in text) or port == 0:
        raise ValueError(f"must be http://host:port, not {text!r}")
    return parts, port


@lru_cache(maxsize=256)
def _host_name(host: str) -> str | None:
    """Return the name in ``Host``, lower case, without port and brackets; None if malformed."""
    # Not by `urlsplit`: that mends what it is given, and lets more than a host pass.
    found = _HOST.fullmatch(host.lower())
    return None if found is None else (found[1] or found[2]).rstrip(".")


def _origin_name(origin: str) -> str | None:
    scheme, _, host = origin.partition("://")
    return _host_name(host) if scheme.lower() in {"http", "https"} else None


def _shown(value: str | None) -> str:
    return "(none)" if value is None else repr(value[:_SHOWN])
