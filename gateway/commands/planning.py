"""``gpus`` and ``plan``: what there is on this host, and what would be launched on it."""

import click

from backends.explain import to_json
from backends.gpus import BadGpuSpec, Inventory, parse_spec
from backends.nvml import NvmlReader
from backends.plan import PlanRequest, Refusal
from backends.plan import plan as make_plan
from backends.recipes import read_recipes
from backends.trtllm.command import bare_script
from backends.trtllm.text import plan_text
from gateway.commands.examples import examples
from gateway.commands.failures import dump_json, fail
from gateway.commands.operations import AS_JSON
from gateway.commands.tables import print_table

_GIB = 2**30


@click.command(epilog=examples("gpus", "gpus --json"))
@AS_JSON
def gpus(*, as_json: bool) -> None:
    """Show the GPUs of this host, as the planner sees them."""
    found = NvmlReader().read()
    if as_json:
        dump_json(found)
        return

    rows = [
        (
            gpu.index,
            gpu.name,
            f"{gpu.compute_capability[0]}.{gpu.compute_capability[1]}",
            f"{gpu.free_bytes / _GIB:.1f} of {gpu.memory_bytes / _GIB:.1f} GiB",
            gpu.island,
            gpu.problem or "usable",
            gpu.uuid,
        )
        for gpu in found.gpus
    ]
    columns = ("#", "name", "capability", "free", "NVLink island", "state", "uuid")
    print_table(columns, rows, f"no GPUs: {found.problem or 'this host has none'}")
    if found.gpus and found.problem:
        click.echo(f"not all of them: {found.problem}")


@click.command(
    epilog=examples(
        "plan llama-3.3-70b",
        "plan llama-3.3-70b --gpus 2xH100-80G",
        "plan llama-3.3-70b --gpus 1xB200 --precision nvfp4 --bare > start.sh",
    )
)
@click.argument("model")
@click.option("--gpus", "spec", metavar="SPEC", help="What if these were here, as 2xH100-80G.")
@click.option("--precision", default="auto", show_default=True, help="auto, fp8, nvfp4, ...")
@click.option("--max-seq-len", type=click.IntRange(1), help="Tokens of the longest request.")
@click.option("--bare", is_flag=True, help="Print a script without the gateway's additions.")
@AS_JSON
def plan(
    model: str,
    *,
    spec: str | None,
    precision: str,
    max_seq_len: int | None,
    bare: bool,
    as_json: bool,
) -> None:
    """Show what would be launched for MODEL, and why; exit 1 and say why if nothing would.

    MODEL is a family of the recipe catalogue, or a checkpoint.
    """
    request = PlanRequest(model=model, precision=precision, max_seq_len=max_seq_len)
    outcome = make_plan(request, _inventory(spec), read_recipes())
    if isinstance(outcome, Refusal):
        fail(outcome.message)
    if as_json:
        dump_json(to_json(outcome))
    else:
        click.echo((bare_script(outcome) if bare else plan_text(outcome)).rstrip())


def _inventory(spec: str | None) -> Inventory:
    if spec is None:
        return NvmlReader().read()
    try:
        return parse_spec(spec)
    except BadGpuSpec as error:
        raise click.BadParameter(str(error), param_hint="--gpus") from None
