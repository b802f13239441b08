"""A simulated engine without noise, and requests for it."""

from backends.simulator.engine import Engine
from backends.simulator.iteration import EngineLimits, EngineRequest
from backends.simulator.profiles import profile

LARGE = profile("llama-3.3-70b-fp8-2xh100")


def new_engine(*, seed=0, noise=0.0, **limits):
    return Engine(LARGE, EngineLimits(noise=noise, **limits), seed=seed)


def new_request(number, prompt_tokens=10, max_tokens=5, **fields):
    prompt = range(1000 * number, 1000 * number + prompt_tokens)
    return EngineRequest(number, prompt, max_tokens, **fields)


def run(engine, at=0.0):
    """Step until nothing is left; return the steps and the instant when the last one ended."""
    steps = []
    while (step := engine.step(at)) is not None:
        steps.append(step)
        at += step.duration_s
    return steps, at


def outputs_of(steps, number, index=0):
    return [
        output
        for step in steps
        for output in step.outputs
        if (output.request_id, output.sequence_index) == (number, index)
    ]
