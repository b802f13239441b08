"""Recognise the next event of a stream by its likeness to one before, without parsing it.

Neighbouring chunks of a stream differ in their piece of text and, in some releases, in their
id; all else repeats byte for byte. Once one was read in full, another that has the same bytes
around another plain piece of text says the same of that text.

Rule: what is recognised here must be what a full reading would have said, to the byte; whatever
is not certain is left to it.
"""

from gateway.core.chunks import Chunk, has_content, read
from gateway.core.errors import UpstreamError

_START = b'data: {"id":"'
_END = b"}\n\n"
_TEXTS = ("content", "text", "reasoning_content", "reasoning")
_MARKS = {name: b'"%b":"' % name.encode() for name in _TEXTS}
_PROBE = b"probe"
_NOT_PLAIN = bytes(range(0x20)) + b'"\\'
_LETTERS = bytes(ord("." if byte in _NOT_PLAIN else "a") for byte in range(256))
"""A letter for every byte that means just itself in a JSON string."""
_LONGEST_ID = 64
_LONGEST_SIZE = 10
_MOST_LAYOUTS = 64
_NO_LEAD = b"\n"
"""Begins no chunk."""


_Layout = tuple[bytes, bytes, int, int, bytes]
"""Of HTTP chunks of one length: all before the text where the id is the one that was learned,
all before the id, where that ends, where the text begins, and what the client gets before the
text."""


class Likeness:
    """What the events of one stream have in common."""

    __slots__ = (
        "_after_id",
        "_before_id",
        "_by_length",
        "_lead",
        "_shown_lead",
        "_tail",
        "_tail_at",
    )

    def __init__(
        self,
        *,
        before_id: bytes,
        own_id: bytes,
        after_id: bytes,
        after_text: bytes,
        shown_lead: bytes,
    ) -> None:
        """Know events by their bytes.

        Args:
            before_id: from the start of the event to the part of the id that may differ.
            own_id: that part of the id of the event that was read.
            after_id: from the quote that ends the id to the one that begins the text.
            after_text: from the quote that ends the text to the end of the event.
            shown_lead: what the client gets in place of all that is before the text.
        """
        self._before_id = before_id
        self._lead = before_id + own_id + after_id
        self._after_id = after_id
        self._tail = after_text + b"\r\n"
        self._tail_at = -len(self._tail)
        self._shown_lead = shown_lead
        self._by_length: dict[int, _Layout] = {}

    def reframed(self, raw: bytes) -> bytes | None:
        """Return the HTTP chunk that the client gets for the replica's.

        None where ``raw`` is anything but one whole HTTP chunk with one event of this likeness.
        """
        known = self._by_length.get(len(raw)) or self._measured(raw)
        if known is None:
            return None
        lead, before_id, id_end, text_at, shown = known
        if raw.endswith(self._tail) and (
            raw.startswith(lead)
            or (
                raw.startswith(before_id)
                and raw.startswith(self._after_id, id_end)
                and raw[len(before_id) : id_end].isalnum()
            )
        ):
            text = raw[text_at : self._tail_at]
            # As `_is_plain`: a call for each token would cost as much again.
            if text.translate(_LETTERS).isalpha() and (text.isascii() or _is_utf8(text)):
                return b"".join((shown, text, self._tail))
        del self._by_length[len(raw)]  # it may have been measured on another kind of event
        return None

    def _measured(self, raw: bytes) -> "_Layout | None":
        """Look at a chunk of a length that was not seen before."""
        length = len(raw)
        head = raw[: raw.find(b"\n", 0, _LONGEST_SIZE) + 1]
        if head != b"%x\r\n" % (length - len(head) - 2):
            return None
        lead, before_id = head + self._lead, head + self._before_id
        id_end = raw.find(b'"', len(before_id), len(before_id) + _LONGEST_ID)
        text_at = id_end + len(self._after_id)
        size = len(self._shown_lead) + length - 2 - text_at
        if id_end < 0 or size < 0:
            return None
        if len(lead) != text_at:  # this chunk has an id of another length
            lead = _NO_LEAD
        shown = b"%x\r\n%b" % (size, self._shown_lead)
        if len(self._by_length) >= _MOST_LAYOUTS:
            self._by_length.clear()
        layout = self._by_length[length] = lead, before_id, id_end, text_at, shown
        return layout


def whole_chunk(raw: bytes, start: int) -> int:
    """Return where the HTTP chunk ends that begins at ``start``; 0 if it is not all there."""
    data_at = raw.find(b"\r\n", start, start + _LONGEST_SIZE) + 2
    size = raw[start : data_at - 2]
    if not size.isalnum():
        return 0
    try:
        end = data_at + int(size, 16) + 2
    except ValueError:
        return 0
    return end if end <= len(raw) else 0


def learn(event: bytes, chunk: Chunk, shown: bytes) -> Likeness | None:
    """Return the likeness of further events to one that was read in full.

    Args:
        event: as the replica sent it, with its empty line.
        chunk: what it says.
        shown: the event as the client got it.

    Returns:
        None where this event is no guide to others: it ends its choice, brings anything but a
        plain piece of text, or is written in an unusual way.
    """
    if not (event.startswith(_START) and event.endswith(_END)):
        return None
    id_end = event.find(b'"', len(_START))
    id_at = event.rfind(b"-", len(_START), id_end) + 1 or len(_START)
    for name, mark in _MARKS.items():
        text_at = event.find(mark, id_end) + len(mark)
        text_end = event.find(b'"', text_at)
        if text_at < len(mark) or text_end <= text_at:
            continue
        # The client's may have its keys in another order.
        if shown.endswith(event[text_at:]) and _proved(event, chunk, name, text_at, text_end):
            return Likeness(
                before_id=event[:id_at],
                own_id=event[id_at:id_end],
                after_id=event[id_end:text_at],
                after_text=event[text_end:],
                shown_lead=shown[: len(shown) - len(event) + text_at],
            )
    return None


def _proved(event: bytes, chunk: Chunk, name: str, text_at: int, text_end: int) -> bool:
    """Try it: with another text in the place of ``name``, all else must read the same."""
    if not chunk.choices or len(chunk.choices) > 1 or chunk.choices[0].finish_reason:
        return False
    if not (_is_plain(event[text_at:text_end]) and has_content(chunk.choices[0])):
        return False
    tried = event[len(b"data: ") : text_at] + _PROBE + event[text_end:-2]
    try:
        other = read(tried)
    except UpstreamError:
        return False
    return _set_back(other, name, event[text_at:text_end].decode()) and other == chunk


def _set_back(chunk: Chunk, name: str, text: str) -> bool:
    """Put ``text`` where the probe shows as ``name``; say whether it does."""
    for choice in chunk.choices or ():
        for part in (choice.delta, choice):
            if getattr(part, name, None) == _PROBE.decode():
                setattr(part, name, text)
                return True
    return False


def _is_plain(text: bytes) -> bool:
    """Say whether a JSON string of these bytes means just them, and is not empty."""
    return text.translate(_LETTERS).isalpha() and (text.isascii() or _is_utf8(text))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
