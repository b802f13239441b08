"""Who may ask, for what, and how much: decided before a replica is looked for."""

from litestar.types import HTTPScope

from gateway.core.errors import InvalidApiKey, ModelNotFound, PermissionDenied
from gateway.core.hosts import host_problem
from gateway.core.keys import digest_key
from gateway.core.snapshot import FleetSnapshot, KeyView, Limits, ModelView
from gateway.dataplane.client import header

_MOST_REQUEST_ID = 128
_DEFAULT = Limits()
_ANYONE = KeyView(id="anonymous", tenant="default", fields=None)


def request_id(scope: HTTPScope) -> str | None:
    """Return the client's own ``x-request-id``; None if there is none fit to be passed on."""
    value = header(scope, b"x-request-id")
    if value is None or not 0 < len(value) <= _MOST_REQUEST_ID:
        return None
    text = value.decode("latin-1")
    return text if text.isprintable() and text.isascii() else None


def admit(scope: HTTPScope, snapshot: FleetSnapshot) -> KeyView:
    """Return the key that a request came with.

    Raises:
        InvalidApiKey: there is none, or nobody knows it.
        PermissionDenied: a page of another site sent it to a port without keys.
    """
    if snapshot.keys is None:
        _check_host(scope, snapshot)
        return _ANYONE
    value = header(scope, b"authorization") or b""
    scheme, _, secret = value.partition(b" ")
    if scheme.lower() != b"bearer" or not secret:
        raise InvalidApiKey("no API key: send it as `Authorization: Bearer KEY`")
    key = snapshot.keys.get(digest_key(secret.strip(), snapshot.key_pepper))
    if key is None:
        raise InvalidApiKey("this API key is not known")
    return key


def _check_host(scope: HTTPScope, snapshot: FleetSnapshot) -> None:
    if snapshot.allowed_hosts is None:
        return
    host, origin = header(scope, b"host"), header(scope, b"origin")
    problem = host_problem(
        None if host is None else host.decode("latin-1"),
        None if origin is None else origin.decode("latin-1"),
        snapshot.allowed_hosts,
    )
    if problem is not None:
        raise PermissionDenied(problem)


def find_model(snapshot: FleetSnapshot, name: str, key: KeyView) -> ModelView:
    """Return the model called ``name``.

    Raises:
        ModelNotFound: it does not exist, or ``key`` may not use it.
    """
    model = snapshot.find(name)
    allowed = key.models is None or (model is not None and model.name in key.models)
    if model is None or not allowed:
        raise ModelNotFound(
            f'model "{name}" does not exist, or this key may not use it; see GET /v1/models',
            param="model",
        )
    return model


def declared_bytes(scope: HTTPScope) -> int | None:
    """Return the body's length as the client announced it; None if it did not."""
    value = header(scope, b"content-length")
    return int(value) if value is not None and value.isdigit() else None


def body_limit(snapshot: FleetSnapshot) -> int:
    """Return the longest body that any model takes, in bytes."""
    # The model is known only once the body is read: until then the most generous limit holds.
    return max(
        (m.limits.body_bytes for m in snapshot.models.values()), default=_DEFAULT.body_bytes
    )


def depth_limit(snapshot: FleetSnapshot) -> int:
    """Return the deepest nesting that any model takes."""
    return max((m.limits.depth for m in snapshot.models.values()), default=_DEFAULT.depth)
