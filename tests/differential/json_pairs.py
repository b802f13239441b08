"""JSON read so that nothing of it is lost but white space and how strings are escaped.

Objects keep the order of their fields and the repeated ones, numbers keep their spelling.
"""

import json


class Pairs(tuple):
    """An object: its fields in order, as names and values."""

    __slots__ = ()

    def get(self, name):
        """Return the value that counts: the last of that name; None without one."""
        return dict(self).get(name)

    def put(self, **values):
        """Return the same with other values for some fields, each where it stands."""
        return Pairs((name, values.get(name, value)) for name, value in self)


class Number(str):
    """A number as it is spelled."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def read(text):
    """Read any JSON text."""
    return json.loads(text, object_pairs_hook=Pairs, parse_int=Number, parse_float=Number)


_SCANNER = json.JSONDecoder(parse_int=Number, parse_float=Number)
_WHITE = " \t\r\n"


def members(body):
    """Cut an object into its fields: their names, and their values' text as it stands there."""
    text = body.decode("utf-8-sig")
    at, found = _after(text, text.index("{") + 1), []
    while text[at] != "}":
        if found:
            at = _after(text, at + 1)  # the comma
        name, at = _SCANNER.raw_decode(text, at)
        at = _after(text, _after(text, at) + 1)  # the colon
        _, end = _SCANNER.raw_decode(text, at)
        found.append((name, text[at:end]))
        at = _after(text, end)
    return found


def _after(text, at):
    while text[at] in _WHITE:
        at += 1
    return at
