"""Compares the simulator's bytes with transcripts written by hand from public sources."""

import re
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
PLACEHOLDERS = {
    "<id>": r"[0-9a-f]{32}",
    "<text>": r'(?:[^"\\]|\\.)+',
    "<float>": r"-?[0-9.e-]+",
    "<bytes>": r"[0-9, ]+",
    "<base64>": r"[A-Za-z0-9+/=]+",
    "<n>": r"[0-9]+",
    "<sp>": " ",
}


def transcripts():
    for file in sorted(GOLDEN.glob("*.txt")):
        for part in file.read_text().split("\n=== ")[1:]:
            title, request, answer, *body = part.split("\n")
            yield pytest.param(
                file.stem, request, answer, "\n".join(body), id=f"{file.stem}: {title}"
            )


def pattern(golden: str) -> re.Pattern[str]:
    escaped = re.escape(golden.rstrip("\n"))
    for mark, meaning in PLACEHOLDERS.items():
        escaped = escaped.replace(re.escape(mark), meaning)
    return re.compile(escaped)


@pytest.mark.parametrize(("dialect", "request_line", "answer", "body"), list(transcripts()))
def test_the_bytes_are_those_of_the_transcript(simulator, dialect, request_line, answer, body):
    method, path, *rest = request_line.removeprefix("> ").split(" ", 2)
    sent = rest[0].replace("<8193 tokens>", str([1] * 8193)).encode() if rest else None
    release, _, task = dialect.partition("-")
    served = simulator(dialect=release, task=task or "generate")
    reply = served.request(method, path, sent)
    status, kind = answer.removeprefix("< ").split(" ", 1)
    assert (str(reply.status), reply.headers.get("content-type", "-")) == (status, kind)
    assert reply.headers["server"] == "uvicorn"
    seen = reply.body.decode()
    assert pattern(body).fullmatch(seen.rstrip("\n")), f"expected\n{body}\nbut got\n{seen}"
    if seen.startswith("data: "):
        assert seen.endswith("data: [DONE]\n\n")
