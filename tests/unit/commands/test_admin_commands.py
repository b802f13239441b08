"""``replicas`` and ``models`` against the admin API on a real port."""

import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest
from click.testing import CliRunner

from backends.launcher import LogLine
from gateway.cli import main
from gateway.state.store import OperationState
from tests.fakes.fleet import FakeFleet, replica
from tests.gateway.admin_client import TOKENS, serving, with_tokens


class EndingFleet(FakeFleet):
    """A fleet whose operations end as soon as they are asked for."""

    error = None

    def _operate(self, *args, **kwargs):
        running = super()._operate(*args, **kwargs)
        state = OperationState.FAILED if self.error else OperationState.DONE
        steps = self.known[running.id]
        steps.append(replace(running, progress=0.5, step="loading weights"))
        steps.append(replace(running, state=state, progress=1.0, error=self.error))
        return running


@pytest.fixture(scope="module")
def fleet():
    return EndingFleet(replica("r-1"), models=("llama-3.3-70b", "org/name"))


@pytest.fixture(scope="module")
def url(fleet):
    with serving(fleet) as url:
        yield url


@pytest.fixture
def run(fleet, url):
    fleet.error = None
    fleet.calls.clear()

    def run_(*arguments, **environ):
        return CliRunner().invoke(main, arguments, env={"TRTGW_ADMIN_URL": url, **environ})

    return run_


def test_replicas_are_a_table_or_json(run):
    table = run("replicas", "list")
    assert table.exit_code == 0
    head, row = table.output.splitlines()
    assert head.split() == ["id", "model", "state", "in", "flight", "url", "launcher", "reason"]
    assert row.split() == [
        "r-1", "llama-3.3-70b", "ready", "3", "http://127.0.0.1:18000", "sim",
    ]  # fmt: skip
    assert json.loads(run("replicas", "list", "--json").output)[0]["id"] == "r-1"
    assert json.loads(run("replicas", "get", "r-1").output)["plan"] == {"recipe": "simulated"}


def test_an_empty_list_says_what_to_do():
    with serving(FakeFleet(models=())) as url:
        done = CliRunner().invoke(main, ["replicas", "list", "--admin-url", url])
        assert done.output.startswith("no replicas; start one: trtllm-gateway replicas create")
        done = CliRunner().invoke(main, ["models", "list", "--admin-url", url])
        assert done.output.startswith("no models; ")


def test_creating_follows_the_operation_to_its_end(run, fleet):
    done = run(
        "replicas", "create", "llama-3.3-70b", "--gpus", "2", "--set", "max_batch_size=8"
    )
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "create llama-3.3-70b    0%  running",
        "create llama-3.3-70b   50%  loading weights",
        "create llama-3.3-70b  100%  done",
    ]
    ((_, request),) = fleet.calls
    assert (request.gpus, dict(request.overrides)) == (2, {"max_batch_size": 8})


def test_creating_can_be_told_not_to_wait_and_to_print_json(run):
    done = run("replicas", "create", "llama-3.3-70b", "--no-wait")
    assert done.output.endswith(": create is under way\n")
    done = run("replicas", "create", "llama-3.3-70b", "--json", "--idempotency-key", "k")
    assert json.loads(done.output)["state"] == "done"
    again = run("replicas", "create", "llama-3.3-70b", "--json", "--idempotency-key", "k")
    assert json.loads(again.output)["id"] == json.loads(done.output)["id"]


def test_a_dry_run_prints_what_would_start(run, fleet):
    done = run("replicas", "create", "llama-3.3-70b", "--dry-run")
    assert json.loads(done.output)["launcher"] == "sim"
    assert fleet.calls == []


def test_an_operation_that_fails_is_exit_code_1_with_its_error(run, fleet):
    fleet.error = "the GPU is out of memory; use two"
    done = run("replicas", "create", "llama-3.3-70b")
    assert done.exit_code == 1
    assert done.stderr == "Error: the GPU is out of memory; use two\n"


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (("replicas", "drain", "r-1", "--grace-s", "2"), ("drain", "r-1", 2)),
        (("replicas", "drain", "r-1"), ("drain", "r-1", None)),
        (("replicas", "delete", "r-1"), ("delete", "r-1", None)),
        (("models", "scale", "llama-3.3-70b", "2"), ("scale", "llama-3.3-70b", 2)),
        (("models", "scale", "org/name", "2"), ("scale", "org/name", 2)),
    ],
)
def test_acts_reach_the_fleet(run, fleet, arguments, call):
    assert run(*arguments).exit_code == 0
    assert fleet.calls == [call]


def test_models_are_a_table_or_json(run):
    run("models", "scale", "org/name", "2")
    head, first, second = run("models", "list").output.splitlines()
    assert head.split()[:3] == ["name", "status", "ready"]
    assert first.split()[:2] == ["llama-3.3-70b", "ready"]
    assert second.endswith("by hand")
    assert len(json.loads(run("models", "list", "--json").output)) == 2
    unpinned = json.loads(run("models", "set", "org/name", "--replicas", "auto").output)
    assert unpinned["pinned"] is False
    assert json.loads(run("models", "set", "org/name", "--replicas", "2").output)["pinned"]


@pytest.mark.parametrize("follow", [(), ("--follow",)])
def test_logs_are_printed_as_they_were_written(run, fleet, follow):
    fleet.log_lines = [LogLine(1.0, "stdout", "first"), LogLine(2.0, "stdout", "second")]
    if follow:
        fleet.log_lines.append(OSError("gone"))
    done = run("replicas", "logs", "r-1", *follow)
    assert done.stdout == "first\nsecond\n"
    assert done.exit_code == (1 if follow else 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("replicas", "get", "none"), "there is no replica 'none'"),
        (("replicas", "get", "../models"), "there is nothing at /admin/replicas/"),
        (("replicas", "logs", "none", "--follow"), "there is no replica 'none'"),
        (("models", "scale", "none", "1"), "there is no model 'none'"),
        (
            ("replicas", "create", "llama-3.3-70b", "--precision", "nvfp4"),
            "no NVFP4 here; fp8 fits on 2",
        ),
    ],
)
def test_a_refusal_is_one_line(run, arguments, said):
    done = run(*arguments)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: {said}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("text", ["novalue", "=1", "a=[", "a: b=: ]["])
def test_an_override_that_cannot_be_read_is_wrong_usage(run, text):
    assert run("replicas", "create", "m", "--set", text).exit_code == 2


@contextmanager
def answering(content):
    """A port where every connection gets ``content``; nothing else speaks there."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(content)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(timeout=30)


HTTP = b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (HTTP % (b"200 OK", 4, b"html"), "is not a gateway's admin port"),
        (HTTP % (b"404 Not Found", 4, b"html"), "answered 404; is it a gateway's admin port?"),
        (HTTP % (b"500 Oops", 2, b"{}"), "answered 500; is it a gateway's admin port?"),
        (b"garbage\r\n\r\n", "did not answer"),
        (b"", "did not answer"),
    ],
)
def test_something_else_on_the_port_is_one_line(content, said):
    with answering(content) as url:
        done = CliRunner().invoke(main, ["replicas", "list", "--admin-url", url])
    assert done.exit_code == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nobody_on_the_port_says_how_to_start(run):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = run("models", "list", "--admin-url", url)
    assert done.exit_code == 1
    assert done.stderr == (
        f"Error: nothing answers at {url}: is the gateway running there?"
        " Start it with 'trtllm-gateway serve', or give its --admin-url\n"
    )


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://[::1", "http://a\x7fb"])
def test_what_is_no_url_is_one_line(run, url):
    done = run("models", "list", "--admin-url", url)
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1


def test_tokens_come_from_a_file_or_the_environment(tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKENS["viewer"] + "\n")
    with serving(FakeFleet(), with_tokens()) as url:

        def run(*arguments, **environ):
            environ["TRTGW_ADMIN_URL"] = url
            return CliRunner().invoke(main, ["models", "list", *arguments], env=environ)

        assert run(TRTGW_ADMIN_TOKEN=TOKENS["viewer"]).exit_code == 0
        assert (
            run("--token-file", str(file), TRTGW_ADMIN_TOKEN=TOKENS["metrics"]).exit_code == 0
        )
        assert "give --token-file or set TRTGW_ADMIN_TOKEN" in run().stderr
        low = run(TRTGW_ADMIN_TOKEN=TOKENS["metrics"])
        assert "this needs role viewer" in low.stderr
        missing = run("--token-file", str(tmp_path / "none"))
        assert missing.stderr.startswith("Error: cannot read the token in ")
