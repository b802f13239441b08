"""What a client gets through the gateway is what it would get from the replica itself."""

import pytest

from tests.sdk.calls import COMPARED, TOKENS, call, for_model, node_calls
from tests.sdk.clients import PYTHON_CLIENTS
from tests.sdk.conftest import API_KEY, FAULTY, GOOD, SOURCE


def _calls(client, model):
    calls = for_model(model, COMPARED)
    return node_calls(calls) if client.is_node else calls


def test_every_call_gives_the_same_text_tools_logprobs_and_usage(client, target):
    through = client.call(target.gateway.url, *_calls(client, GOOD), api_key=API_KEY)
    direct = client.call(target.replica_url(GOOD), *_calls(client, SOURCE))
    for each in COMPARED:
        name = each["name"]
        assert through[name]["error"] is None, name
        assert through[name].pop("models") == [GOOD], name
        direct[name].pop("models")
        assert through[name] == direct[name], name
    assert_plausible(through)


def assert_plausible(results):
    """Two wrong answers could be the same: check that these are answers at all."""
    for name in ("completion", "completion, streamed", "chat, streamed with usage"):
        assert results[name]["usage"]["completion_tokens"] == TOKENS
        assert len(results[name]["choices"][0]["text"]) > TOKENS
        assert results[name]["choices"][0]["finish_reason"] == "length"
    assert results["chat"]["choices"] == results["chat, streamed"]["choices"]
    assert results["chat, streamed"]["usage"] is None
    assert len(results["completion, two prompts"]["choices"]) == 2
    for name in ("chat, logprobs", "chat, logprobs, streamed"):
        assert len(results[name]["choices"][0]["logprobs"]) == TOKENS
    for name in ("chat, tools", "chat, tools, streamed"):
        assert results[name]["choices"][0]["tools"]["0"]["name"] == "get_weather"
        assert results[name]["choices"][0]["finish_reason"] in {"tool_calls", "stop"}


@pytest.mark.parametrize("client", PYTHON_CLIENTS, ids=lambda client: client.name)
def test_the_asynchronous_python_client_streams_the_same_text(client, target):
    (plain,) = [each for each in for_model(GOOD, COMPARED) if each["name"] == "chat"]
    streamed = {**plain, "params": {**plain["params"], "stream": True}}
    results = client.call(target.gateway.url, plain, api_key=API_KEY, async_call=streamed)
    assert results["async"]["choices"] == results["chat"]["choices"]


def test_the_models_are_listed_by_the_names_that_clients_send(client, target):
    results = client.call(target.gateway.url, call("models", "models"), api_key=API_KEY)
    assert results["models"] == {"models": sorted([GOOD, FAULTY])}
