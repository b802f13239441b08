"""With a mechanism taken away, each target finds a broken law in the tries that a test has."""

from urllib.parse import urlsplit

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gateway.core import body, chunks, dialect, hosts, known_head, likeness, sse, windows
from gateway.core.known_head import KnownHead
from gateway.core.stream import AnswerStream
from gateway.dataplane import answer, protocol, serving, upstream_connection
from tests.fuzz.drawing import inputs
from tests.fuzz.targets import TARGETS
from tests.fuzz.test_fuzz import EXAMPLES


def finds(target):
    """Run as `test_no_bytes_break_a_law` does, but alike each time."""

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, phases=[Phase.generate])
    @given(data=st.data())
    def search(data):
        target.one(data.draw(inputs(target)))

    try:
        search()
    except Exception:  # noqa: BLE001 - whatever a broken mechanism leads to
        return True
    return False


def _ends_unfinished(stream):
    stream.done = True
    return b"data: [DONE]\n\n"


def _ends_whatever(stream):
    stream.done = True


def _as_urlsplit_says(host):
    try:
        return urlsplit(f"http://{host}").hostname
    except ValueError:
        return None


ANYTHING = bytes(ord("a") for _ in range(256))
CHANGES = {
    "sse": {
        "an answer with choices unfinished is done": (
            AnswerStream,
            "_finish",
            _ends_unfinished,
        ),
        "any end is believed": (AnswerStream, "closed", _ends_whatever),
        "unknown lines are passed over": (sse, "DAMAGED", b""),
    },
    "body": {
        "depth is not looked at": (body, "_may_be_deep", lambda *_: False),
        "repeated names are not seen": (body, "_are_all", lambda *_: True),
        "every replica accepts every field": (dialect, "_accepts", lambda *_: True),
        "windows end anywhere": (windows, "_end", lambda text, at, n: min(len(text), at + n)),
    },
    "reply": {
        "names are put in anywhere": (chunks, "_renamed", lambda text, head: head + text[1:]),
    },
    "head": {
        "any head is let in": (protocol, "head_problem", lambda *_, **__: None),
        "the length is not read again": (KnownHead, "headers", lambda known, _: known._headers),
        "hosts are mended": (hosts, "_host_name", _as_urlsplit_says),
    },
    "answer": {
        "what is no HTTP goes through": (upstream_connection, "_NOT_HTTP", ()),
        "any text is plain": (likeness, "_LETTERS", ANYTHING),
        "every end is whole": (
            answer.Answer,
            "on_chunk_complete",
            answer.Answer.on_message_complete,
        ),
    },
}
CONTROLS = [
    pytest.param(TARGETS[name], *change, id=f"{name}: {what}")
    for name, changes in CHANGES.items()
    for what, change in changes.items()
]


@pytest.mark.parametrize(("target", "where", "name", "broken"), CONTROLS)
def test_a_broken_mechanism_is_found(target, where, name, broken, monkeypatch):
    monkeypatch.setattr(where, name, broken)
    assert finds(target)


def _with_lone_cr(text):
    return text.replace(b"\r\n", b"\n")


def _joined_by_space(event):
    data = [
        line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")
    ]
    return b" ".join(data).strip(b" ")


def _with_all_around(data, headers, *, most):
    found = known_head.learn(
        data, [*headers[:1], (b"content-length", b"2"), *headers[2:]], most=most
    )
    return found and KnownHead(found._before, found._after, headers, found._length_at)


UNDONE = [
    ("sse", "cr_between_values", sse, "_ended_by_lf", _with_lone_cr),
    ("sse", "cr_after_a_comment", sse, "_ended_by_lf", _with_lone_cr),
    ("sse", "line_end_in_a_string", sse, "_payload", _joined_by_space),
    ("reply", "line_end_in_front", chunks, "_NO_HEAD", b"\n"),
    ("head", "line_end_in_host", hosts, "_host_name", _as_urlsplit_says),
    ("head", "tab_after_length", serving, "learn", _with_all_around),
]


@pytest.mark.parametrize(("target", "file", "where", "name", "broken"), UNDONE)
def test_what_once_broke_a_law_does_so_again_without_its_remedy(
    target, file, where, name, broken, monkeypatch
):
    data = (TARGETS[target].findings_folder / file).read_bytes()
    TARGETS[target].one(data)
    monkeypatch.setattr(where, name, broken)
    with pytest.raises((AssertionError, ValueError)):  # the latter of what should be JSON
        TARGETS[target].one(data)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_what_finds_broken_mechanisms_finds_nothing_in_sound_ones(target):
    assert not finds(target)
