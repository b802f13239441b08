"""``trtllm-gateway``: the one console script, a table of commands.

Rule: a command's module is imported only when the command runs. ``--help`` must stay instant,
so the one-line helps stand here, not in the modules.
"""

import importlib
from collections.abc import Mapping
from importlib.metadata import version
from typing import NamedTuple

import click
from typing_extensions import override


class Entry(NamedTuple):
    """Where a command is, and what its group's help says of it."""

    module: str
    attribute: str
    help: str


COMMANDS: Mapping[str, Entry] = {
    "serve": Entry("gateway.commands.serve", "serve", "Run the gateway."),
    "sim": Entry("backends.simulator.command", "sim", "Run one simulated trtllm-serve."),
    "gpus": Entry("gateway.commands.planning", "gpus", "Show the GPUs of this host."),
    "plan": Entry(
        "gateway.commands.planning", "plan", "Show what would be launched for a model, and why."
    ),
    "replicas": Entry(
        "gateway.commands.replicas", "replicas", "See and change replicas of a running gateway."
    ),
    "models": Entry(
        "gateway.commands.models", "models", "See and change models of a running gateway."
    ),
    "restart": Entry(
        "gateway.commands.restart",
        "restart",
        "Start a running gateway anew; no stream is cut.",
    ),
    "check-config": Entry(
        "gateway.commands.check_config",
        "check_config",
        "Say what is wrong with a configuration file, line by line.",
    ),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name, and imports one when it is asked for."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the table."""
        return list(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None if there is none of that name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table's own helps: importing every module would take seconds."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


_TRY = """\b
Without a GPU:          trtllm-gateway serve --demo
In front of a replica:  trtllm-gateway serve --replica http://127.0.0.1:8000
"""


@click.group(
    cls=LazyGroup, epilog=_TRY, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(version("trtllm-gateway"), prog_name="trtllm-gateway")
def main() -> None:
    """OpenAI-compatible gateway in front of NVIDIA trtllm-serve replicas."""
