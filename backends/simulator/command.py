"""The command ``sim``: one simulated ``trtllm-serve``."""

import os
import time

import click
import msgspec

from backends.simulator.building import Options, build
from backends.simulator.dialects import DIALECTS
from backends.simulator.faults import KINDS, UnknownFault
from backends.simulator.profiles import PROFILES
from backends.simulator.serving import NoGpu, configure_logging, serve
from backends.simulator.settings import EMBEDDINGS, GENERATE, TASKS

NO_STORE = "TRTLLM_RESPONSES_API_DISABLE_STORE"
"""The server's own variable: any value keeps it from storing responses."""
_HELP = """Run one simulated trtllm-serve, with no GPU.

\b
Example:
  trtllm-gateway sim --model llama-3.1-8b --port 8000 --fault cut:after_tokens=20,share=0.1
"""
_FAULTS = (
    "\b\nFaults, KIND[:key=value,...] with share, after_tokens, at_byte, s, code, seed:\n"
    + "".join(f"  {kind.name:<14} {kind.effect}\n" for kind in KINDS.values())
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
    if options.task == EMBEDDINGS and options.dialect != "main":
        raise click.UsageError("--task embeddings exists in dialect main only")


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
    "--task",
    type=click.Choice(TASKS),
    default=GENERATE,
    show_default=True,
    help="What it serves; embeddings is the sub-command of that name, dialect main only.",
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
@click.option(
    "--max-queue-size",
    type=click.IntRange(1),
    default=2048,
    show_default=True,
    help="Inputs that may wait in --task embeddings.",
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
    store = not os.environ.get(NO_STORE)
    options = msgspec.convert({**given, "responses_store": store}, Options)
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
