"""Puts a simulator together from what the command line said."""

from collections.abc import Callable
from random import Random
from uuid import uuid4

import msgspec

from backends.simulator.dialects import DIALECTS
from backends.simulator.driver import Driver
from backends.simulator.engine import Engine
from backends.simulator.faults import FaultPlan, parse_fault
from backends.simulator.iteration import EngineLimits, Speculation
from backends.simulator.observations import Observations
from backends.simulator.profiles import Profile, profile
from backends.simulator.response_store import ResponseStore
from backends.simulator.settings import GENERATE, Settings
from backends.simulator.simulator import Simulator


class Options(msgspec.Struct, frozen=True):
    """What the command line said."""

    model: str
    port: int
    host: str
    dialect: str
    seed: int
    time_scale: float
    start_s: float
    faults: tuple[str, ...]
    enable_iter_perf_stats: bool
    iter_stats_max_iterations: int
    return_perf_metrics: bool
    perf_metrics_max_requests: int
    event_buffer_max_size: int
    enable_block_reuse: bool
    stream_interval: int
    enable_chunked_prefill: bool
    acceptance_rate: float
    max_draft_len: int
    reasoning_parser: str | None = None
    tool_parser: str | None = None
    guided_decoding_backend: str | None = None
    allow_request_chat_template: bool = False
    served_model_name: str | None = None
    profile: str | None = None
    max_batch_size: int | None = None
    max_num_tokens: int | None = None
    max_seq_len: int | None = None
    task: str = GENERATE
    max_queue_size: int = 2048
    responses_store: bool = True


def profile_for(model: str) -> str:
    """Choose a profile by what the model's name says of its size and precision."""
    name = model.lower()
    size = "llama-3.3-70b" if "70b" in name else "llama-3.1-8b"
    if "fp4" in name:
        return f"{size}-nvfp4-1xb200"
    return f"{size}-fp8-{'2xh100' if '70b' in name else '1xh100'}"


def build(
    options: Options, *, clock: Callable[[], float], wall: Callable[[], float]
) -> Simulator:
    """Put a simulator together.

    Raises:
        UnknownFault: a fault is not known.
        UnknownProfile: the profile is not known.
    """
    faults = FaultPlan([parse_fault(text) for text in options.faults], seed=options.seed)
    constants = profile(options.profile or profile_for(options.model))
    settings = _settings(options, constants)
    engine = Engine(constants, _limits(options), seed=options.seed)
    observations = Observations(settings, to_wall=lambda at: at - clock() + wall())
    driver = Driver(
        engine, clock=clock, time_scale=options.time_scale, on_step=observations.on_step
    )
    return Simulator(
        settings=settings,
        engine=engine,
        driver=driver,
        faults=faults,
        observations=observations,
        clock=clock,
        wall=wall,
        new_id=lambda: uuid4().hex,
        rng=Random(options.seed),
        responses=ResponseStore(enabled=options.responses_store),
    )


def _limits(options: Options) -> EngineLimits:
    speculation = None
    if options.max_draft_len:
        speculation = Speculation(options.max_draft_len, options.acceptance_rate)
    return EngineLimits(
        max_batch_size=options.max_batch_size,
        max_num_tokens=options.max_num_tokens,
        enable_block_reuse=options.enable_block_reuse and options.task == GENERATE,
        event_buffer_size=options.event_buffer_max_size,
        stream_interval=options.stream_interval,
        speculation=speculation,
    )


def _settings(options: Options, constants: Profile) -> Settings:
    dialect = DIALECTS[options.dialect]
    return Settings(
        model=options.model,
        dialect=dialect,
        max_seq_len=min(options.max_seq_len or constants.max_seq_len, constants.kv_pool_tokens),
        max_num_tokens=options.max_num_tokens or constants.max_num_tokens,
        max_batch_size=options.max_batch_size or constants.max_batch_size,
        served_model_name=options.served_model_name,
        reasoning_parser=options.reasoning_parser is not None,
        tool_parser=options.tool_parser is not None,
        guided_decoding=options.guided_decoding_backend is not None,
        chunked_prefill=options.enable_chunked_prefill,
        iter_perf_stats=options.enable_iter_perf_stats,
        iter_stats_max_iterations=options.iter_stats_max_iterations,
        return_perf_metrics=options.return_perf_metrics,
        perf_metrics_max_requests=options.perf_metrics_max_requests,
        chat_template_in_request=options.allow_request_chat_template,
        task=options.task,
        max_queue_size=options.max_queue_size,
    )
