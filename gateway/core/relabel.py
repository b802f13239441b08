"""Give a JSON object other values for some of its fields; the rest stays as it was."""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

_FIELDS = msgspec.json.Decoder(dict[str, Raw])


def relabelled(text: bytes | Raw, changes: Mapping[str, bytes]) -> bytes:
    """Return ``text`` with the JSON of ``changes`` in the fields that it has.

    What it lacks is not added. ``text`` must have been decoded before.
    """
    return b"{%b}" % b",".join(
        b"%b:%b" % (msgspec.json.encode(name), changes.get(name, raw))
        for name, raw in _FIELDS.decode(text).items()
    )
