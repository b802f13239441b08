"""lm-eval's ``local-completions`` and ``local-chat-completions``: requests and answers.

What it gets is compared with what a replica says to it directly, and read as lm-eval reads it.
Its ``loglikelihood`` wants the log probabilities of the prompt, which no trtllm-serve gives:
1.0 and 1.1 refuse ``logprobs``, later ones echo the prompt's text but describe the generated
token alone. The gateway changes neither.
"""

import json
from operator import itemgetter

import pytest

from gateway.core.fields import DIALECTS
from tests.differential.asked import Asked
from tests.differential.verdict import REFUSED, SAME

TOKENS, SEED = 16, 1234
UNTIL = ["\n\n", "Question:", "</s>"]
TEXTS = ["Q: How many bridges has Manhattan?\nA:", "Q: Was 1 + 1 = 2? \u2192 \u00e9\nA:"]
IDS = [[128000, 48, 25, 2650], [128000, 791, 3488, 315, 1561, 4356]]


def generation(model, prompt):
    """Return what ``generate_until`` asks of completions, fields in its order."""
    return {
        "prompt": prompt, "model": model, "max_tokens": TOKENS, "temperature": 0,
        "stop": UNTIL, "seed": SEED,
    }  # fmt: skip


def likelihood(model, prompt):
    """Return what ``loglikelihood`` asks."""
    return {
        "model": model, "prompt": prompt, "temperature": 0, "max_tokens": 1, "logprobs": 1,
        "seed": SEED, "echo": True,
    }  # fmt: skip


def conversation(model, messages):
    """Return what ``generate_until`` asks of chats."""
    return {
        "messages": messages, "model": model, "max_tokens": TOKENS, "temperature": 0,
        "stop": UNTIL, "seed": SEED, "top_p": 0.95,
    }  # fmt: skip


def asked(kind, body):
    """Return the request as ``requests`` and aiohttp write JSON."""
    return Asked(kind, json.dumps(body).encode())


def answer(bench, request):
    """Return what lm-eval gets through the gateway, once it is proven the same as directly."""
    assert bench.judge(request) == SAME
    reply = bench.asking.post(
        bench.gateway_url, request.path, request.body, authorization="Bearer "
    )
    return json.loads(reply.body)


def texts(reply):
    """Read generated texts: each goes where its index says."""
    found = [None] * len(reply["choices"])
    for choice in reply["choices"]:
        found[choice["index"]] = choice["text"]
    return found


def scores(reply, contexts):
    """Read the likelihood of each continuation, and whether it is the likeliest."""
    found = []
    choices = sorted(reply["choices"], key=itemgetter("index"))
    for choice, context in zip(choices, contexts, strict=True):
        chosen = choice["logprobs"]["token_logprobs"][context:-1]
        best = choice["logprobs"]["top_logprobs"][context:-1]
        likeliest = all(p == max(top.values()) for p, top in zip(chosen, best, strict=True))
        found.append((sum(chosen), likeliest))
    return found


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("prompt", [TEXTS[0], TEXTS, IDS, IDS[:1]], ids=str)
def test_generations_are_read_in_the_order_of_their_prompts(benches, dialect, prompt):
    bench = benches[dialect]
    request = asked("completions", generation(bench.replica.model, prompt))
    prompts = prompt if isinstance(prompt, list) else [prompt]
    alone = [
        texts(
            answer(bench, asked("completions", generation(bench.replica.model, [each])))
        ).pop()
        for each in prompts
    ]
    assert texts(answer(bench, request)) == alone
    assert all(alone)
    assert not any(stop in text for text in alone for stop in UNTIL)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_chat_is_read(benches, dialect):
    bench = benches[dialect]
    messages = [
        {"role": "system", "content": "You are terse."},
        *({"role": "user", "content": text} for text in TEXTS),
    ]
    request = asked("chat", conversation(bench.replica.model, messages))
    (choice,) = answer(bench, request)["choices"]
    assert choice["index"] == 0
    assert isinstance(choice["message"]["content"], str)


@pytest.mark.parametrize("dialect", ["1.0", "1.1"])
@pytest.mark.parametrize("prompt", [TEXTS[0], IDS], ids=str)
def test_a_release_without_log_probabilities_refuses_likelihoods(benches, dialect, prompt):
    bench = benches[dialect]
    request = asked("completions", likelihood(bench.replica.model, prompt))
    assert bench.judge(request) == REFUSED
    reply = bench.asking.post(bench.gateway_url, request.path, request.body)
    assert json.loads(reply.body)["error"]["param"] == "logprobs"


@pytest.mark.parametrize("dialect", ["1.2", "main"])
@pytest.mark.parametrize("prompt", [TEXTS[0], TEXTS, IDS], ids=str)
def test_later_ones_answer_without_those_of_the_prompt(benches, dialect, prompt):
    bench = benches[dialect]
    request = asked("completions", likelihood(bench.replica.model, prompt))
    reply = answer(bench, request)
    prompts = 1 if isinstance(prompt, str) else len(prompt)
    assert [choice["index"] for choice in reply["choices"]] == list(range(prompts))
    for choice in reply["choices"]:
        assert choice["logprobs"].keys() == {
            "text_offset", "token_logprobs", "tokens", "top_logprobs",
        }  # fmt: skip
        assert len(choice["logprobs"]["token_logprobs"]) == 1
        assert max(choice["logprobs"]["top_logprobs"][0].values()) <= 0
    # So every continuation seems certain: lm-eval's multiple choices mean nothing here.
    assert scores(reply, [3] * prompts) == [(0, True)] * prompts
    if isinstance(prompt, str):
        assert reply["choices"][0]["text"].startswith(prompt)
