"""The command ``sim``: one simulated ``trtllm-serve``."""

import time
from collections.abc import Callable
from random import Random
from uuid import uuid4

import click
import msgspec

from backends.simulator.dialects import DIALECTS
from backends.simulator.driver import Driver
from backends.simulator.engine import Engine
from backends.simulator.faults import KINDS, FaultPlan, UnknownFault, parse_fault
from backends.simulator.iteration import EngineLimits, Speculation
from backends.simulator.observations import Observations
from backends.simulator.profiles import PROFILES, Profile, profile
from backends.simulator.serving import NoGpu, configure_logging, serve
from backends.simulator.settings import Settings
from backends.simulator.simulator import Simulator

_HELP = """Run one simulated trtllm-serve, with no GPU.

\b
Example:
  trtllm-gateway sim --model llama-3.1-8b --port 8000 --fault cut:after_tokens=20,share=0.1
"""
_FAULTS = (
    "\b\nFaults, KIND[:key=value,...] with share, after_tokens, at_byte, s, code, seed:\n"
    + "".join(f"  {kind.name:<14} {kind.effect}\n" for kind in KINDS.values())
)


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
    )


def _check_dialect(options: Options) -> None:
    """Refuse options that the imitated release does not have.

    Raises:
        click.UsageError: saying which releases have it.
    """
    if options.served_model_name and options.dialect != "main":
        raise click.UsageError("--served-model-name exists in dialect main only")
    if options.tool_parser and options.dialect in {"1.0", "1.1"}:
        raise click.UsageError("--tool-parser exists from dialect 1.2 on")


def _limits(options: Options) -> EngineLimits:
    speculation = None
    if options.max_draft_len:
        speculation = Speculation(options.max_draft_len, options.acceptance_rate)
    return EngineLimits(
        max_batch_size=options.max_batch_size,
        max_num_tokens=options.max_num_tokens,
        enable_block_reuse=options.enable_block_reuse,
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
    )


@click.command(
    name="sim",
    help=_HELP,
    epilog=_FAULTS,
    # As the gateway's own commands have it, whether it runs under them or by itself.
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--model", required=True, help="Its name, or an existing directory.")
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="0: any free port.")
@click.option("--host", default="localhost", show_default=True, help="Where it listens.")
@click.option(
    "--profile",
    type=click.Choice(sorted(PROFILES)),
    metavar="NAME",
    help="Such as llama-3.3-70b-fp8-2xh100; default: by --model.",
)
@click.option(
    "--dialect",
    type=click.Choice(list(DIALECTS)),
    default="1.2",
    show_default=True,
    help="The release that is imitated; 1.2 is as 1.1 where public sources are silent.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of noise, faults and sampling."
)
@click.option(
    "--time-scale",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Factor on every duration of the engine: 0.1 runs ten times as fast.",
)
@click.option("--start-s", type=click.FloatRange(0), default=0.0, help="Seconds of loading.")
@click.option(
    "--max-batch-size",
    type=click.IntRange(1),
    help="Sequences at once; default: the profile's.",
)
@click.option(
    "--max-num-tokens",
    type=click.IntRange(1),
    help="Tokens in one iteration; default: the profile's.",
)
@click.option(
    "--max-seq-len",
    type=click.IntRange(2),
    help="Prompt and answer; default: the model's, at most the KV cache.",
)
@click.option("--max-draft-len", type=click.IntRange(0), default=0, help="Speculative tokens.")
@click.option(
    "--acceptance-rate",
    type=click.FloatRange(0, 1),
    default=0.7,
    show_default=True,
    help="Of a speculative token.",
)
@click.option(
    "--stream-interval",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Iterations for each chunk.",
)
@click.option("--served-model-name", help="Dialect main only, as in the original.")
@click.option("--reasoning-parser", help="Think first, in reasoning_content.")
@click.option("--tool-parser", help="Turn the text of tool calls into tool_calls.")
@click.option(
    "--guided-decoding-backend",
    type=click.Choice(["xgrammar", "llguidance"]),
    help="Allow response_format.",
)
@click.option("--allow-request-chat-template", is_flag=True, help="Dialect main: else a 400.")
@click.option("--enable-chunked-prefill", is_flag=True, help="Allow longer prompts.")
@click.option(
    "--enable-block-reuse/--no-enable-block-reuse",
    default=True,
    show_default=True,
    help="Reuse the KV blocks of equal prefixes.",
)
@click.option("--enable-iter-perf-stats", is_flag=True, help="Fill /metrics.")
@click.option(
    "--iter-stats-max-iterations",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Iterations that /metrics keeps.",
)
@click.option("--return-perf-metrics", is_flag=True, help="Serve /prometheus/metrics.")
@click.option(
    "--perf-metrics-max-requests",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Requests that /perf_metrics keeps.",
)
@click.option(
    "--event-buffer-max-size",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Events that /kv_cache_events keeps.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND[:key=value,...]",
    help="See below; may be repeated.",
)
def sim(**given: object) -> None:
    """Run one simulated server until a signal."""
    options = msgspec.convert(given, Options)
    wall = time.time  # noqa: TID251 - the composition root: everything below gets it passed in
    _check_dialect(options)
    try:
        simulator = build(options, clock=time.monotonic, wall=wall)
    except UnknownFault as wrong:
        raise click.BadParameter(str(wrong), param_hint="--fault") from wrong
    configure_logging(wall)
    try:
        serve(simulator, options.host, options.port, start_s=options.start_s)
    except (NoGpu, RuntimeError) as wrong:
        raise click.ClickException(f"{type(wrong).__name__}: {wrong}") from wrong
