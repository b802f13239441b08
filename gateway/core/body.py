"""Cut a request's body into its top-level fields, whatever bytes it is made of.

Rule: time and memory grow with the length of the body and with nothing else, since these bytes
come from anyone; what is not a flat enough JSON object is refused before it is decoded. Fields
are known by where they stand in the body, so that whatever is not changed goes on as it came.
"""

import operator
import re
from codecs import BOM_UTF8, utf_8_decode
from collections.abc import Iterator

import msgspec
from msgspec import Raw

from gateway.core.errors import InvalidRequest
from gateway.core.outline import Outline, not_json, outline_steps
from gateway.core.steps import Steps, finish
from gateway.core.windows import WINDOW_BYTES, depth_steps

MOST_FIELDS = 1024
"""Top-level fields of one body, repeated ones counted each time."""
AT_ONCE_BYTES = (1 << 20) + (1 << 16)
"""Up to this, a body is decoded as it is: a prompt of 1 MiB and what comes with it."""
_UTF8_BYTES = 1 << 20
_SMALL_BYTES = 1 << 12
_KEY = re.compile(rb'[ \t\r\n]*([{,])[ \t\r\n]*"[^"\\]*(?:\\.[^"\\]*)*"[ \t\r\n]*:[ \t\r\n]*')


Place = tuple[str, int, int, int]
"""Of a field: its name, the ``{`` or ``,`` before it, and its value's first and next byte."""


class Body(msgspec.Struct, frozen=True, eq=False):
    """A body and its top-level fields."""

    data: bytes
    """As it came, without a mark of its byte order."""
    outline: Outline | None
    """What was decoded in its place; None if that was the body itself."""
    fields: dict[str, Raw]
    """By name, as in the outline; of repeated names the last counts, as it does to replicas."""
    repeated: tuple[tuple[str, Raw], ...] = ()
    """All fields in order, if a name repeats; else `fields` are all."""

    @property
    def text(self) -> bytes:
        """What was decoded."""
        return self.data if self.outline is None else self.outline.text

    def count(self, name: str) -> int:
        """Say how many fields are called ``name``."""
        if self.repeated:
            return sum(each == name for each, _ in self.repeated)
        return int(name in self.fields)

    def places(self) -> Iterator[Place]:
        """Say where each field stands, in order."""
        text, outline, end = self.text, self.outline, 0
        for name, value in self.repeated or self.fields.items():
            key = _KEY.match(text, end)
            assert key is not None  # noqa: S101 - the text was decoded
            opens, begin = key.start(1), key.end()
            end = begin + len(memoryview(value))
            if outline is None:
                yield name, opens, begin, end
            else:
                yield name, outline.place(opens), outline.place(begin), outline.place(end)

    def value(self, name: str) -> memoryview:
        """Return the JSON text of the field ``name`` as it came, without a copy of it."""
        if self.outline is None:
            return memoryview(self.fields[name])
        *_, (begin, end) = (place[2:] for place in self.places() if place[0] == name)
        return memoryview(self.data)[begin:end]


NO_BODY = Body(b"", None, {})
"""Of a request without one."""


def cut(body: bytes, *, depth: int) -> Body:
    """Do `cut_steps` at once."""
    # Most are like this, and need no detour over steps.
    short = len(body) <= _SMALL_BYTES and body.startswith(b"{") and body.isascii()
    if short and not _may_be_deep(body, depth):
        return _cut(body, None)
    return finish(cut_steps(body, depth=depth))


def cut_steps(
    body: bytes, *, depth: int, at_once: int = AT_ONCE_BYTES, window: int = WINDOW_BYTES
) -> Steps[Body]:
    """Cut a JSON object into its top-level fields.

    Args:
        body: any bytes.
        depth: how deep they may nest.
        at_once: a longer body is outlined first.
        window: bytes of it that are looked at in one step.

    Raises:
        InvalidRequest: it is not UTF-8, not JSON, not an object, nested deeper than ``depth``,
        or made of too many values.
    """
    if not body.isascii():
        body = body.removeprefix(BOM_UTF8)
        yield from _utf8_steps(body)
    outline = None
    if len(body) > at_once:
        outline = yield from outline_steps(body, depth=depth, window=window)
    elif _may_be_deep(body, depth):
        yield from depth_steps(body, depth=depth)
    return _cut(body, outline)


def _utf8_steps(body: bytes) -> Steps[None]:
    view, begin = memoryview(body), 0
    while True:
        part = view[begin : begin + _UTF8_BYTES]
        try:
            _, read = utf_8_decode(part, "strict", begin + len(part) == len(body))
        except UnicodeDecodeError as wrong:
            raise InvalidRequest(
                f"the request body is not UTF-8: {wrong.reason} at byte {begin + wrong.start}"
            ) from None
        begin += read
        if begin == len(body):
            return
        yield


def _may_be_deep(body: bytes, depth: int) -> bool:
    """Whether ``body`` has more opening brackets, those in strings too, than it may nest."""
    if len(body) <= _SMALL_BYTES:
        most = depth + 1  # of each, which is as far as they are counted
        flat = len(body.replace(b"{", b"", most)) + len(body.replace(b"[", b"", most))
        return 2 * len(body) - flat > depth
    left = depth  # to look for one after the other is quick, as long as there are few
    for bracket in (b"{", b"["):
        at = body.find(bracket)
        while at >= 0:
            left -= 1
            if left < 0:
                return True
            at = body.find(bracket, at + 1)
    return False


def _cut(body: bytes, outline: Outline | None) -> Body:
    text = body if outline is None else outline.text
    try:
        if len(text) <= _SMALL_BYTES:
            fields = _FIELDS.decode(text)
            if _are_all(text, fields):
                return Body(body, outline, fields)
        pairs = _pairs(text)
    except msgspec.ValidationError as wrong:
        raise InvalidRequest(f"the request body must be a JSON object: {wrong}") from None
    except (msgspec.DecodeError, RecursionError) as wrong:
        if not text.strip():
            raise InvalidRequest("the request body is empty; send a JSON object") from None
        place = int if outline is None else outline.place
        raise InvalidRequest(not_json(wrong, place)) from None
    every = tuple((str(name), value) for name, value in pairs.items())
    fields = dict(every)
    return Body(body, outline, fields, every if len(fields) < len(every) else ())


def _are_all(text: bytes, fields: dict[str, Raw]) -> bool:
    """Whether no name repeats, by the colons: a field more would have one more at least."""
    return _colons(text) == _colons(b"".join(fields.values())) + len(fields)


def _colons(text: bytes) -> int:
    return len(text) - len(text.replace(b":", b""))  # quicker than to count few of them


class _Name(str):
    """A name that is the same key as no other: of names that repeat, all are kept."""

    __slots__ = ()
    __hash__ = object.__hash__


_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_PAIRS = msgspec.json.Decoder(dict[_Name, Raw], dec_hook=operator.call)


def _pairs(text: bytes) -> dict[_Name, Raw]:
    if len(text) <= _SMALL_BYTES:
        return _PAIRS.decode(text)
    left = MOST_FIELDS

    def name_of(kind: type[_Name], name: str) -> _Name:
        nonlocal left
        left -= 1
        if left < 0:
            raise InvalidRequest(f"the request body has over {MOST_FIELDS} fields")
        return kind(name)

    return msgspec.json.Decoder(dict[_Name, Raw], dec_hook=name_of).decode(text)
