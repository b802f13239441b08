"""The one command of the README, typed and ended as a person would."""

import os
import re
import signal
import subprocess

import httpx
import pytest

from tests.sdk.clients import PYTHON_CLIENTS
from tests.system.processes import belonging_to
from tests.system.running import (
    DEADLINE_S,
    Running,
    eventually,
    free_ports,
    running,
    running_gateway,
)


@pytest.fixture
def make_run(tmp_path):
    port, admin_port = free_ports(2)
    argv = ["make", "run", f"ARGS=--port {port} --admin-port {admin_port}"]
    environ = {"TRTGW_STATE__DIR": str(tmp_path / "state")}
    with running(argv, tmp_path / "make.log", environ) as process:
        yield Running(process, f"http://127.0.0.1:{port}", tmp_path / "make.log")
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=DEADLINE_S)
    print((tmp_path / "make.log").read_text())  # noqa: T201 - pytest shows it when the test fails


def _ready(demo):
    demo.must_run()
    return httpx.get(demo.url + "/ready", timeout=10).status_code == 200


def _family(demo):
    return belonging_to(demo.log.parent / "state")


def test_ctrl_c_at_make_run_ends_all_processes_without_a_complaint(make_run):
    eventually(lambda: _ready(make_run), "the demo is ready")
    assert len(_family(make_run)) >= 5  # supervisor, a worker, three replicas
    os.killpg(make_run.pid, signal.SIGINT)
    make_run.process.wait(timeout=DEADLINE_S)
    eventually(lambda: not _family(make_run), "nothing of the demo is left")
    said = make_run.log_text()
    assert "Traceback" not in said
    assert "*** [" not in said, "make complains: the gateway's exit code was not 0"


def _printed(demo, first_words):
    """Return the block of the banner that begins with these words, up to an empty line."""
    block = re.compile(rf"^{first_words}.*?\n\n", re.MULTILINE | re.DOTALL)
    return eventually(lambda: block.search(demo.log_text()), f"{first_words!r} was printed")[0]


def test_the_lines_to_paste_from_the_banner_get_answers(make_run, tmp_path):
    curl = _printed(make_run, "curl ")
    done = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("data: [DONE]\n\n")
    script = tmp_path / "paste.py"
    script.write_text(_printed(make_run, "from openai "))
    assert len(PYTHON_CLIENTS[-1].run(script).split()) > 10


def test_the_demo_answers_for_both_of_its_models(tmp_path):
    wanted = {"llama-3.3-70b": 2, "llama-3.1-8b": 1}
    with running_gateway(tmp_path, "--demo", ready=wanted) as gateway:
        for model in wanted:
            body = {"model": model, "prompt": "Where is New York?", "max_tokens": 8}
            answer = httpx.post(gateway.url + "/v1/completions", json=body, timeout=60)
            assert answer.status_code == 200, answer.text
            assert answer.json()["model"] == model
            assert answer.json()["usage"]["completion_tokens"] == 8
