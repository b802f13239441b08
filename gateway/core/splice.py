"""Change a few fields of a body and leave every other byte as it came.

Rule: a large body is never copied: what goes out are pieces of it, with the changes in between.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gateway.core.body import Body

_WHOLE_BYTES = 1 << 14
"""Up to this, a copy is cheaper than to send pieces."""
_COMMA = ord(",")

Edits = Mapping[str, bytes | None]
"""JSON text for all fields of a name; None takes them out."""
UNCHANGED: Edits = MappingProxyType({})


def splice(
    body: Body, edits: Edits, inserted: Sequence[bytes]
) -> tuple[bytes | memoryview, ...]:
    """Return ``body`` in pieces, with ``edits`` made and ``inserted`` at its end.

    It must have fields of all the names in ``edits``, and one that stays. Each of ``inserted``
    is a whole field, ``"name":value``.
    """
    if not edits and not inserted:
        return (body.data,)
    whole = len(body.data) <= _WHOLE_BYTES
    source = body.data if whole else memoryview(body.data)
    pieces: list[bytes | memoryview] = []
    done = 0
    for begin, end, new in _changes(body, edits) if edits else ():
        pieces += (source[done:begin], new)
        done = end
    if inserted:
        end = body.data.rindex(b"}")
        pieces += (source[done:end], b",", b",".join(inserted))
        done = end
    pieces.append(source[done:])
    return (b"".join(pieces),) if whole else tuple(filter(len, pieces))


def _changes(body: Body, edits: Edits) -> list[tuple[int, int, bytes]]:
    """Say in order: from where to where, and what comes there instead."""
    changes = []
    left = len(body.repeated) or len(edits)
    stays = False  # one of the fields so far
    for name, opens, begin, end in body.places():
        new = edits.get(name, b"")
        if new is None:  # with the comma before it, of which the first field has none
            changes.append((opens + (body.data[opens] != _COMMA), end, b""))
        else:
            if not stays and body.data[opens] == _COMMA:
                changes.append((opens, opens + 1, b""))
            if new:
                changes.append((begin, end, new))
            stays = True
        left -= name in edits
        if stays and not left:
            break
    return changes
