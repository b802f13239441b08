"""Keep the tenants' shares of a replica's prefix cache apart.

A prompt whose beginning is cached is answered sooner, so a tenant could find out by time what
others ask. Rule: the salt is the gateway's alone; it cannot be guessed without its secret, and
the client's own is never passed on.
"""

from hashlib import blake2b

from gateway.core.snapshot import FleetSnapshot

_PURPOSE = b"cache salt"
_SALT_BYTES = 16


def cache_salt(snapshot: FleetSnapshot, tenant: str) -> str | None:
    """Return the ``cache_salt`` of ``tenant``, in hex.

    None where nobody is kept apart: without keys all are one tenant, and without a secret a
    salt would keep nothing secret.
    """
    if snapshot.keys is None or not snapshot.key_pepper:
        return None
    mixed = blake2b(
        tenant.encode(), digest_size=_SALT_BYTES, key=snapshot.key_pepper, person=_PURPOSE
    )
    return mixed.hexdigest()
