"""From sources to a `Config`: file under environment under command line, checked as a whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.config.checks import findings
from gateway.config.environment import read_environment
from gateway.config.problems import ConfigInvalid, Place, Problem, dotted, explain
from gateway.config.schema import Config
from gateway.config.sources import Document, read_yaml

_DEMO: Mapping[str, Any] = {
    "server": {"replicas_on_exit": "stop", "drain_delay_s": 0, "grace_s": 10},
    "state": {"dir": "~/.local/state/trtllm-gateway/demo"},
    "models": [
        {
            "name": "llama-3.3-70b",
            "source": "nvidia/Llama-3.3-70B-Instruct-FP8",
            "launcher": "sim",
            "replicas": {"initial": 2},
            "sim": {"profile": "llama-3.3-70b-fp8-2xh100"},
        },
        {
            "name": "llama-3.1-8b",
            "source": "nvidia/Llama-3.1-8B-Instruct-FP8",
            "launcher": "sim",
            "replicas": {"initial": 1},
            "sim": {"profile": "llama-3.1-8b-fp8-1xh100"},
        },
    ],
}

NOTHING = Document()
DEMO = Document(dict(_DEMO), {(): Place("the demo")})
"""Two models on three simulated replicas, which end with the gateway."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and where each of its values was written."""

    config: Config
    document: Document


def load(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    flags: Document = NOTHING,
    replicas: Sequence[str] = (),
    base: Document = NOTHING,
) -> Config:
    """Return the configuration of `read`.

    Raises:
        ConfigInvalid: with every problem that could be found.
    """
    return read(path, environ, flags=flags, replicas=replicas, base=base).config


def read(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    flags: Document = NOTHING,
    replicas: Sequence[str] = (),
    base: Document = NOTHING,
) -> Loaded:
    """Read, merge and check; ``base`` lies under the file, ``flags`` over the environment.

    ``replicas`` are URLs added to ``static``, as ``serve --replica`` does.

    Raises:
        ConfigInvalid: with every problem that could be found.
    """
    document, problems = base, []
    try:
        if path is not None:
            document = read_yaml(path).over(document)
    except ConfigInvalid as error:
        problems += error.problems
    try:
        document = read_environment(environ).over(document)
    except ConfigInvalid as error:
        problems += error.problems
    if problems:
        raise ConfigInvalid(problems)
    document = flags.over(document)
    for url in replicas:
        document = document.append("static", url, Place("--replica"))
    return Loaded(build(document), document)


def build(document: Document) -> Config:
    """Check ``document`` whole.

    Raises:
        ConfigInvalid: with every problem, each at the place that its value came from.
    """
    try:
        config = Config(**document.values)
    except ValidationError as error:
        found = list(explain(error, document.values, Config).items())
    else:
        found = list(findings(config))
        if not found:
            return config
    raise ConfigInvalid(Problem(document.place(at), dotted(at), said) for at, said in found)


def demo_config() -> Config:
    """Return the demo's configuration, as ``serve --demo`` uses it without further options."""
    return build(DEMO)
