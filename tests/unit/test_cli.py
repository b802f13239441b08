import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from gateway.cli import COMMANDS, main


def run(*arguments):
    return CliRunner().invoke(main, arguments)


def walk(path, command):
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from walk((*path, name), command.get_command(context, name))


ALL = [pytest.param(path, id=" ".join(path)) for path, _ in walk((), main) if path]


def test_help_lists_the_commands_of_the_table_and_no_others():
    help_text = run("--help").output
    assert run("-h").output == help_text
    listed = help_text.split("Commands:")[1]
    for name, entry in COMMANDS.items():
        assert name in listed
        assert entry.help in " ".join(listed.split())
    for later in ("keys", "bench", "replay", "eval"):
        assert f"\n  {later} " not in help_text


@pytest.mark.parametrize("path", ALL)
def test_every_command_explains_itself_with_an_example(path):
    done = run(*path, "--help")
    assert done.exit_code == 0
    assert "Example" in done.output
    assert "trtllm-gateway " + path[0] in done.output


def test_help_imports_no_command_and_no_framework():
    script = (
        "import sys; sys.argv = ['trtllm-gateway', '--help']\n"
        "from gateway.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = ('pydantic', 'litestar', 'uvicorn', 'httpx', 'rich', 'yaml', 'asyncio')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    python = [sys.executable, "-c", script]
    done = subprocess.run(python, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nonsense",), 2, "No such command"),
        (("serve", "--port", "x"), 2, "not a valid integer"),
        (("serve", "--config", "/nowhere.yaml"), 2, "does not exist"),
        (("plan",), 2, "Missing argument 'MODEL'"),
        (("plan", "x", "--gpus", "2xZ9"), 2, "no GPU is known as 'Z9'"),
        (("plan", "nobody/knows", "--gpus", "1xB200"), 1, "no recipe for 'nobody/knows'"),
        (("plan", "llama-3.3-70b", "--gpus", "1xT4"), 1, "FP8 needs compute capability 8.9"),
        (("models", "set", "m", "--replicas", "-1"), 2, "neither a number nor auto"),
        (("replicas", "logs", "r", "--tail", "-1"), 2, "not in the range"),
        (("serve", "--port", "70000"), 1, "--port: server.port: must be less than"),
        (("serve", "--workers", "some"), 1, "--workers: server.workers: must be 'auto' or"),
        (("serve", "--replica", "r:1"), 1, "--replica: static[0]: must be http://host:port"),
        (("serve", "--host", "10.0.0.1"), 1, "set auth.mode: keys"),
    ],
)
def test_wrong_usage_is_2_failure_is_1_and_both_say_why(arguments, code, said):
    done = run(*arguments)
    assert done.exit_code == code
    assert said in " ".join(done.stderr.split())
    assert done.stdout == ""
    assert "Traceback" not in done.output


def test_a_plan_is_text_json_or_a_bare_script():
    asked = ("plan", "llama-3.3-70b", "--gpus", "2xH100-80G")
    text, as_json, bare = run(*asked), run(*asked, "--json"), run(*asked, "--bare")
    assert "Why" in text.stdout
    assert json.loads(as_json.stdout)["recipe"] == "llama-3.3-70b-fp8"
    assert bare.stdout.startswith("cat << EOF > /tmp/config.yml\n")
    assert "trtllm-serve nvidia/Llama-3.3-70B-Instruct-FP8" in bare.stdout


def test_a_plan_takes_precision_and_length():
    asked = ("plan", "llama-3.3-70b", "--gpus", "1xB200", "--json")
    plan = json.loads(run(*asked, "--precision", "fp8", "--max-seq-len", "4096").stdout)
    assert (plan["precision"], plan["max_seq_len"]) == ("fp8", 4096)
