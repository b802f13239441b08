"""Turn a plan into the command line and YAML of ``trtllm-serve``.

Two forms: bare, what NVIDIA's guide would have a person type, and spawned, with the gateway's
overlays, on loopback, its address left to the launcher.
"""

import shlex
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml

from backends.explain import to_json
from backends.knobs import Value
from backends.plan import Plan
from backends.replica import ReplicaSpec

CONFIG = "config.yml"
BARE_CONFIG = f"/tmp/{CONFIG}"  # noqa: S108 - the guide's own path, printed and never opened
BARE_HOST, BARE_PORT = "0.0.0.0", 8000  # noqa: S104 - the guide's own address, never bound here


def to_yaml(tree: Mapping[str, Any]) -> str:
    """Return engine options as the text of a YAML file."""
    return yaml.safe_dump(dict(tree), sort_keys=False, default_flow_style=False)


def bare_argv(plan: Plan) -> list[str]:
    """Return the guide's command."""
    return _argv(plan, plan.settings.flags, BARE_HOST, str(BARE_PORT), BARE_CONFIG)


def bare_script(plan: Plan) -> str:
    """Return a shell script that writes the guide's YAML and runs the guide's command."""
    env = "".join(f"export {k}={shlex.quote(v)}\n" for k, v in plan.recipe.env.items())
    file = f"cat << EOF > {BARE_CONFIG}\n{to_yaml(plan.settings.yaml)}EOF\n"
    return f"{env}{file}\n{wrap(bare_argv(plan))}\n"


def wrap(argv: list[str]) -> str:
    """Write a command as a person would: one option to a line."""
    lines = [[word] for word in argv[:2]]
    for word in argv[2:]:
        if word.startswith("--"):
            lines.append([word])
        else:
            lines[-1].append(word)
    head = [*lines[0], *lines[1]]
    return " \\\n    ".join(shlex.join(line) for line in [head, *lines[2:]])


def spawned_argv(plan: Plan) -> list[str]:
    """Return the command of a spawned replica, with the placeholders of `ReplicaSpec.argv`."""
    flags, _ = plan.settings.launched()
    return _argv(plan, flags, "{host}", "{port}", f"{{file:{CONFIG}}}")


def spawned_yaml(plan: Plan) -> str:
    """Return the YAML of a spawned replica."""
    return to_yaml(plan.settings.launched()[1])


def to_spec(plan: Plan, *, model: str, launcher: str = "process") -> ReplicaSpec:
    """Return what a launcher needs to run ``plan`` under the gateway's name ``model``."""
    return ReplicaSpec(
        model=model,
        source=served_name(plan.checkpoint),
        launcher=launcher,
        argv=tuple(spawned_argv(plan)),
        env=dict(plan.recipe.env),
        files={CONFIG: spawned_yaml(plan)},
        gpus=tuple(gpu.uuid for gpu in plan.gpus),
        concurrency=plan.concurrency,
        plan=to_json(plan),
    )


def served_name(checkpoint: str) -> str:
    """Return the name that ``trtllm-serve`` gives a checkpoint: a directory's last part."""
    local = checkpoint.startswith(("/", "./", "../", "~"))
    return PurePosixPath(checkpoint).name if local else checkpoint


def _argv(
    plan: Plan, flags: Mapping[str, Value], host: str, port: str, config: str
) -> list[str]:
    argv = ["trtllm-serve", plan.checkpoint, "--host", host, "--port", port]
    for name, value in flags.items():
        if value is True:
            argv.append(f"--{name}")
        elif value is not False:
            argv += [f"--{name}", str(value)]
    return [*argv, "--extra_llm_api_options", config]
