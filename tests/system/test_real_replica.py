"""The README's ways to put the gateway in front of a replica that already runs."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from tests.system.running import gateway_config

GATEWAY = str(Path(sys.executable).with_name("trtllm-gateway"))
MODEL = "Llama-3.3-70B-Instruct-FP8"


def _complete(url, model):
    body = {"model": model, "prompt": "Where is New York?", "max_tokens": 8}
    answer = httpx.post(url + "/v1/completions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_replica_named_on_the_command_line_is_served_under_the_model_it_reports(
    start_simulator, start_gateway
):
    simulator = start_simulator(model=f"nvidia/{MODEL}")
    reported = httpx.get(simulator.url + "/v1/models", timeout=10).json()["data"][0]["id"]
    gateway = start_gateway("--replica", simulator.url, ready={reported: 1})
    listed = httpx.get(gateway.url + "/v1/models", timeout=10).json()["data"]
    assert [model["id"] for model in listed] == [reported]
    direct = _complete(simulator.url, reported)["choices"][0]["text"]
    assert _complete(gateway.url, reported)["choices"][0]["text"] == direct


@pytest.mark.parametrize("named", [{}, {"source": f"nvidia/{MODEL}"}], ids=["", "with source"])
def test_two_static_replicas_in_the_file_are_served_under_the_name_given_there(
    start_simulator, start_gateway, tmp_path, named
):
    urls = [start_simulator().url, start_simulator().url]
    model = {"name": "llama-3.3-70b", "static": urls, **named}
    config = gateway_config(tmp_path, models=[model])
    gateway = start_gateway(config=config, ready={"llama-3.3-70b": 2})
    assert _complete(gateway.url, "llama-3.3-70b")["model"] == "llama-3.3-70b"
    assert {r["url"] for r in gateway.ready_replicas("llama-3.3-70b")} == set(urls)
    gateway.stop()
    assert all(httpx.get(url + "/health", timeout=10).status_code == 200 for url in urls)


def test_check_config_says_ok_for_a_good_file_and_the_line_of_a_bad_key(tmp_path):
    config = gateway_config(tmp_path, models=[{"name": "m", "static": ["http://127.0.0.1:9"]}])
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(config))
    good = subprocess.run([GATEWAY, "check-config", file], capture_output=True, check=False)
    assert good.returncode == 0, good
    file.write_text(file.read_text() + "routting: {}\n")
    line = len(file.read_text().splitlines())
    bad = subprocess.run(
        [GATEWAY, "check-config", file], capture_output=True, text=True, check=False
    )
    assert bad.returncode == 1
    assert f"{file}:{line}: routting" in bad.stdout + bad.stderr


def test_plan_shows_the_readme_example_without_those_gpus_here():
    command = [GATEWAY, "plan", "llama-3.3-70b", "--precision", "fp8", "--gpus", "2xH100-80G"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "trtllm-serve" in done.stdout
