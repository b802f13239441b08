"""Prompts that are long: for the gateway, which reads them in steps, or for the replica."""

import json

import pytest

from gateway.core.fields import DIALECTS
from tests.differential.asked import Asked
from tests.differential.verdict import HELPED, REFUSED, SAME

LONG_BYTES = 1_300_000
"""Over 1 MiB a body is not decoded as it is."""
WORDS = 'Was \u00e9 1 + 1 = 2? "Yes", she said.\n\t{[\']} '


def filled(piece):
    return piece * (LONG_BYTES // len(piece.encode()))


ESCAPED = json.dumps(filled(WORDS))
PLAIN = json.dumps(filled(WORDS), ensure_ascii=False)
SHORT = ", ".join([json.dumps(WORDS * 9)] * 20)
IDS = filled("791, 3488,315 ,1561,") + "5"
TURNS = filled('{"role":"user","content":"a\\u00e9"},') + '{"role":"user","content":"b"}'
FORMS = {
    "text": f'"prompt":{PLAIN}',
    "text in escapes": f'"prompt":{ESCAPED}',
    "texts": f'"prompt":[{SHORT}, {ESCAPED}]',
    "token ids": f'"prompt":[{IDS}]',
    "chat": f'"messages":[{{"content":{PLAIN},"role":"user"}}]',
    "many turns": f'"messages":[{TURNS}]',
}
ENDS = {
    SAME: '"max_tokens":5}',
    HELPED: (
        '"seed":1e0,"store":true,"top_k":null,"max_completion_tokens":4.0,"n":null,'
        '"stream":true}'
    ),
}
"""Nothing is to change in the first, much in the second."""


@pytest.mark.parametrize("dialect", ["1.0", "main"])
@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("form", FORMS)
def test_a_body_of_over_a_mebibyte_goes_on_as_it_is(benches, dialect, form, ends):
    bench, prompt = benches[dialect], FORMS[form]
    kind = "chat" if prompt.startswith('"messages"') else "completions"
    start = f'{{ "model":"{bench.replica.source}",{prompt},"truncate_prompt_tokens":5,'
    asked = Asked(kind, (start + ENDS[ends]).encode())
    assert len(asked.body) > 1 << 20
    assert bench.judge(asked) == ends


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("tokens", [1500, 3000], ids=["for the model", "for one iteration"])
def test_a_prompt_that_is_too_long_is_said_to_be(benches, dialect, tokens):
    body = {"model": benches[dialect].replica.model, "prompt": [7] * tokens, "max_tokens": 3}
    asked = Asked("completions", json.dumps(body).encode())
    assert benches[dialect].judge(asked) == REFUSED
