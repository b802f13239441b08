import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry.redaction import redact, redact_fields

SECRET = "s3cr3t-Value0123456789"  # noqa: S105 - stands for one in these tests


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"(b'authorization', b'Bearer {SECRET}')",
        f"headers={{'x-api-key': '{SECRET}'}}",
        f"(b'x-api-key', b'{SECRET}')",
        f"the key sk-{SECRET} was refused",
        f"HF: hf_{SECRET}",
        f"nvapi-{SECRET}",
        f"redis://user:{SECRET}@10.0.0.1:6379/0",
        f"rediss://:{SECRET}@host",
        f"GET /x?access_token={SECRET}&b=1",
        f"GET /x?token={SECRET}",
        f"password: {SECRET}",
        f'{{"api_key": "{SECRET}"}}',
        f"Cookie: session={SECRET}",
        f"basic {SECRET}",
    ],
)
def test_what_looks_like_a_secret_is_blotted_out(text):
    assert SECRET not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "first token after 12 ms, 5 tokens, max_tokens=16",
        "replica http://127.0.0.1:8000 answered 503",
        "no key was sent; send one as a bearer",
        "task-group skipped hf models",
    ],
)
def test_plain_text_stays_as_it_is(text):
    assert redact(text) == text


@settings(deadline=None)
@given(st.text())
def test_any_text_can_be_looked_through(text):
    redact(text)


def test_fields_are_judged_by_name_and_by_content_however_deep():
    fields = {
        "api_key": SECRET, "hf_token": SECRET, "input_tokens": 7, "key_id": "k1", "ok": True,
        "none": None, "header": {"Authorization": SECRET, 5: "x"},
        "list": [f"Bearer {SECRET}", 1],
        "object": ValueError(f"sk-{SECRET}"),
    }  # fmt: skip
    clean = redact_fields(fields)
    assert SECRET not in str(clean)
    assert (clean["input_tokens"], clean["key_id"], clean["ok"]) == (7, "k1", True)
    assert clean["header"]["5"] == "x"
