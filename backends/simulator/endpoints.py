"""The generation endpoints, each as data for `generate`."""

from functools import partial

from backends.simulator.endpoint import Endpoint, Reading, Values
from backends.simulator.frames import encode
from backends.simulator.message_events import error_event
from backends.simulator.messages import enveloped, read_messages
from backends.simulator.orders import chat_order, completion_order
from backends.simulator.refusals import Refusals
from backends.simulator.response_request import read_response
from backends.simulator.simulator import Simulator
from backends.simulator.spelling import OpenAISpelling


def _read_completion(sim: Simulator, values: Values) -> Reading:
    return completion_order(values, sim.settings, sim.rng), partial(OpenAISpelling, sim)


def _read_chat(sim: Simulator, values: Values) -> Reading:
    return chat_order(values, sim.settings, sim.rng), partial(OpenAISpelling, sim)


COMPLETIONS = Endpoint("CompletionRequest", _read_completion)
CHAT = Endpoint("ChatCompletionRequest", _read_chat)
RESPONSES = Endpoint(
    "ResponsesRequest", read_response, Refusals(death=(200, b'{"detail":"None"}'))
)
MESSAGES = Endpoint(
    "MessagesRequest",
    read_messages,
    Refusals(shape=enveloped, death=(500, encode(error_event("Internal server error")))),
)
