"""Who may ask, for what, and how much: decided before a replica is looked for."""

import re
from collections.abc import Mapping

from gateway.core.errors import InvalidApiKey, ModelNotFound, PermissionDenied
from gateway.core.hosts import host_problem
from gateway.core.keys import digest_key
from gateway.core.snapshot import FleetSnapshot, KeyView, Limits, ModelView

_MOST_REQUEST_ID = 128
_MOST_DIGITS = 15
"""Of a Content-Length, for servers that let longer ones pass: Python makes no number of all."""
_TIMEOUTS = (b"x-stainless-read-timeout", b"x-stainless-timeout")
_DECIMAL = re.compile(rb"[0-9]{1,9}(?:\.[0-9]{1,9})?")
Headers = Mapping[bytes, bytes]
"""A request's headers, names in lower case."""
_ANYONE = KeyView(id="anonymous", tenant="default", fields=None)


def request_id(headers: Headers) -> str | None:
    """Return the client's own ``x-request-id``; None if there is none fit to be passed on."""
    value = headers.get(b"x-request-id")
    if value is None or not 0 < len(value) <= _MOST_REQUEST_ID:
        return None
    text = value.decode("latin-1")
    return text if text.isprintable() and text.isascii() else None


def admit(headers: Headers, snapshot: FleetSnapshot, also: bytes = b"") -> KeyView:
    """Return the key that a request came with.

    It may come in the header ``also``, if that is given, where there is no ``authorization``.

    Raises:
        InvalidApiKey: there is none, or nobody knows it.
        PermissionDenied: a page of another site sent it to a port without keys.
    """
    if snapshot.keys is None:
        _check_host(headers, snapshot)
        return _ANYONE
    value = headers.get(b"authorization")
    if not value:
        value = b"Bearer " + headers.get(also, b"") if also else b""
    scheme, _, secret = value.partition(b" ")
    if scheme.lower() != b"bearer" or not secret:
        other = f" or `{also.decode()}: KEY`" if also else ""
        raise InvalidApiKey(f"no API key: send it as `Authorization: Bearer KEY`{other}")
    key = snapshot.keys.get(digest_key(secret.strip(), snapshot.key_pepper))
    if key is None:
        raise InvalidApiKey("this API key is not known")
    return key


def _check_host(headers: Headers, snapshot: FleetSnapshot) -> None:
    if snapshot.allowed_hosts is None:
        return
    host, origin = headers.get(b"host"), headers.get(b"origin")
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
    if model is None or not may_use(key, model):
        raise ModelNotFound(
            f'model "{name}" does not exist, or this key may not use it; see GET /v1/models',
            param="model",
        )
    return model


def may_use(key: KeyView, model: ModelView) -> bool:
    """Say whether ``key`` may use ``model``."""
    return key.models is None or model.name in key.models


def declared_bytes(headers: Headers) -> int | None:
    """Return the body's length as the client announced it; None if it did not, or no length."""
    value = headers.get(b"content-length")
    if value is None or len(value) > _MOST_DIGITS or not value.isdigit():
        return None
    return int(value)


def waits_s(headers: Headers) -> float | None:
    """Return how many seconds the client waits, as its SDK says; None if it does not.

    Those that Stainless generates (OpenAI's, Anthropic's) send their own time-out: one for
    each read, and one for the request, which is in whole seconds, and 0 below one.
    """
    told = [_seconds(headers[name]) for name in _TIMEOUTS if name in headers]
    return min((seconds for seconds in told if seconds > 0), default=None)


def _seconds(value: bytes) -> float:
    """Return a number of seconds; 0 for what is none."""
    return float(value) if _DECIMAL.fullmatch(value) else 0.0


def ceiling(snapshot: FleetSnapshot) -> Limits:
    """Return the most generous limits of any model.

    They hold until the body was read and its model is known.
    """
    limits = [model.limits for model in snapshot.models.values()] or [Limits()]
    return Limits(
        body_bytes=max(each.body_bytes for each in limits),
        depth=max(each.depth for each in limits),
    )
