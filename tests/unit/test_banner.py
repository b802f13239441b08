import ast
import shlex
from pathlib import Path

import pytest

from backends.replica import ReplicaState
from gateway.banner import Shown, banner
from tests.fakes.fleet import model, replica

DEMO = Shown(
    data_url="http://127.0.0.1:8080",
    admin_url="http://127.0.0.1:8081",
    models=[
        model("llama-3.1-8b", ready=0, loading=1),
        model("llama-3.3-70b", desired=2, replicas=2, ready=2),
    ],
    replicas=[
        replica("a", "llama-3.1-8b", ReplicaState.LOADING),
        replica("b"),
        replica("c"),
    ],
    replicas_on_exit="stop",
)


def block(text, first):
    """The lines from the one that begins with ``first`` to the next empty one."""
    return text[text.index(first) :].split("\n\n")[0]


def test_it_says_what_runs_where():
    text = banner(DEMO, terminal=False)
    assert "http://127.0.0.1:8080/v1" in text
    assert "http://127.0.0.1:8081" in text
    assert "llama-3.3-70b  2 of 2 replicas ready" in text
    assert "llama-3.1-8b  0 of 1 replica ready" in text
    assert text.count("    ready ") == 2
    assert "    loading " in text
    assert "replicas stop too" in text


def test_it_fits_80_columns_and_has_no_codes_outside_a_terminal():
    text = banner(DEMO, terminal=False)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "\x1b[32m" in banner(DEMO, terminal=True)


def test_what_it_shows_to_paste_names_a_model_that_is_ready():
    text = banner(DEMO, terminal=True)
    words = shlex.split(block(text, "curl ").replace("\\\n", " "))
    assert words[0] == "curl"
    assert "http://127.0.0.1:8080/v1/chat/completions" in words
    assert '"model": "llama-3.3-70b"' in words[words.index("-d") + 1]
    ast.parse(block(text, "from openai "))


def test_with_keys_the_requests_send_one():
    text = banner(
        Shown("http://h:1", "http://h:2", DEMO.models, asks_for_key=True), terminal=False
    )
    assert "API key needed" in text
    assert "authorization: Bearer $API_KEY" in block(text, "curl ")
    assert 'os").environ["API_KEY"]' in block(text, "from openai ")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://0.0.0.0:8080", "http://127.0.0.1:8080/v1"),
        ("http://[::]:8080", "http://[::1]:8080/v1"),
        ("http://gateway:8080", "http://gateway:8080/v1"),
    ],
)
def test_addresses_are_shown_so_that_they_can_be_used(url, shown):
    assert shown in banner(Shown(url, "http://h:2"), terminal=False)


def test_without_models_it_says_how_to_get_some():
    text = banner(Shown("http://h:1", "http://h:2"), terminal=False)
    assert "No models yet: serve with --demo, --replica URL or --config FILE." in text
    assert "curl" not in text


def test_a_sleeping_model_and_a_new_token_are_told():
    asleep = model("m", desired=0, replicas=0, ready=0)
    text = banner(
        Shown("http://h:1", "http://h:2", [asleep], token_file=Path("/state/admin.token")),
        terminal=False,
    )
    assert "m  asleep: no replica is wanted" in text
    assert "in /state/admin.token, made just now" in text
    assert "spawned replicas run on" in text
