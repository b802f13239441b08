"""The requests to paste from the README work as they stand, against the demo itself."""

import re
import shutil
import subprocess

import pytest

from tests.repo import tracked
from tests.sdk.clients import NODE_PROJECT, PYTHON_CLIENTS, Client
from tests.system.running import running_gateway

README = (tracked.ROOT / "README.md").read_text()
URL_IN_README = "http://127.0.0.1:8080"
NODE = Client("openai-node")


def block(name):
    """Return the code block under the mark ``<!-- tested: NAME -->``."""
    found = re.search(
        rf"<!-- tested: {name} -->\n```\w+\n(.*?)^```", README, re.MULTILINE | re.DOTALL
    )
    assert found, f"the README has no block marked {name}"
    assert URL_IN_README in found[1]
    return found[1]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    wanted = {"llama-3.3-70b": 2, "llama-3.1-8b": 1}
    with running_gateway(tmp_path_factory.mktemp("demo"), "--demo", ready=wanted) as gateway:
        yield gateway


def test_curl_streams_an_answer(demo):
    assert shutil.which("curl"), "curl is not installed: scripts/apt-packages installs it"
    command = block("curl").replace(URL_IN_README, demo.url)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    events = [line for line in done.stdout.splitlines() if line]
    assert all(event.startswith("data: ") for event in events)
    assert len(events) > 30
    assert events[-1] == "data: [DONE]"


@pytest.mark.parametrize("client", PYTHON_CLIENTS, ids=lambda client: client.name)
def test_openai_python_prints_an_answer(client, demo, tmp_path):
    script = tmp_path / "paste.py"
    script.write_text(block("openai-python").replace(URL_IN_README, demo.url))
    assert len(client.run(script).split()) > 10


def test_openai_node_prints_an_answer(demo, tmp_path):
    script = tmp_path / "paste.mjs"
    script.write_text(block("openai-node").replace(URL_IN_README, demo.url))
    (tmp_path / "node_modules").symlink_to(NODE_PROJECT / "node_modules")
    assert len(NODE.run(script).split()) > 10


def test_the_three_ways_ask_for_the_same_answer(demo, tmp_path):
    python, node = tmp_path / "paste.py", tmp_path / "paste.mjs"
    python.write_text(block("openai-python").replace(URL_IN_README, demo.url))
    node.write_text(block("openai-node").replace(URL_IN_README, demo.url))
    (tmp_path / "node_modules").symlink_to(NODE_PROJECT / "node_modules")
    assert PYTHON_CLIENTS[-1].run(python) == NODE.run(node)
