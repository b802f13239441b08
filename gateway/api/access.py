"""Who may use the admin port: Bearer tokens with roles, or loopback names alone.

Rule: a route without a declared role is for admins only, so that forgetting one opens nothing.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import Headers
from litestar.handlers import BaseRouteHandler

from gateway.api.problems import NotAllowed
from gateway.config.secrets import TokenDigest
from gateway.core.hosts import host_problem
from gateway.core.keys import digest_key


class Role(StrEnum):
    """What a token may do."""

    METRICS = "metrics"
    """Scrape, and nothing else."""
    VIEWER = "viewer"
    """Read."""
    OPERATOR = "operator"
    """Also act on replicas and models."""
    ADMIN = "admin"
    """Also keys and configuration."""


_INCLUDES: Mapping[Role, frozenset[Role]] = {
    Role.METRICS: frozenset({Role.METRICS}),
    Role.VIEWER: frozenset({Role.METRICS, Role.VIEWER}),
    Role.OPERATOR: frozenset({Role.METRICS, Role.VIEWER, Role.OPERATOR}),
    Role.ADMIN: frozenset(Role),
}

PUBLIC = {"public": True}
"""Route options of what needs no token."""


def needs(role: Role) -> dict[str, Role]:
    """Return the route options that ask for ``role``."""
    return {"role": role}


@dataclass(frozen=True, slots=True)
class Access:
    """The guard of every route of the admin port."""

    tokens: Sequence[TokenDigest] | None = None
    """None: no token is asked for."""
    pepper: bytes = b""
    allowed_hosts: tuple[str, ...] | None = None
    """Names that ``Host`` may carry; None for any."""

    def __call__(
        self, connection: ASGIConnection[Any, Any, Any, Any], route: BaseRouteHandler
    ) -> None:
        """Let the request in.

        Raises:
            NotAllowed: 401 without a known token, 403 with one that may not, or a foreign host.
        """
        headers = connection.headers
        problem = host_problem(headers.get("host"), headers.get("origin"), self.allowed_hosts)
        if problem is not None:
            raise NotAllowed(403, "foreign-host", problem)
        if self.tokens is None or route.opt.get("public"):
            return
        needed = Role(route.opt.get("role", Role.ADMIN))
        token = self._token(headers)
        if needed not in _INCLUDES[Role(token.role)]:
            raise NotAllowed(
                403,
                "role-too-low",
                f"token {token.name!r} has role {token.role}; this needs role {needed}",
            )

    def _token(self, headers: Headers) -> TokenDigest:
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise NotAllowed(401, "token-missing", "send 'Authorization: Bearer TOKEN'")
        digest = digest_key(secret.strip().encode("utf-8", "surrogateescape"), self.pepper)
        found: TokenDigest | None = None
        for token in self.tokens or ():  # all of them, always: the time tells nothing
            if hmac.compare_digest(token.digest, digest):
                found = token
        if found is None:
            raise NotAllowed(401, "token-unknown", "this token is not known here")
        return found
