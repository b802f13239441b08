import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.commands.check_config import check_config

GOLDEN = Path(__file__).parents[1] / "config" / "golden"


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Check a file called ``gateway.yaml``."""
    monkeypatch.chdir(tmp_path)

    def check_(text, environ=None):
        Path("gateway.yaml").write_text(text)
        return CliRunner().invoke(check_config, ["gateway.yaml"], env=environ or {})

    return check_


def test_problems_go_to_standard_output_line_by_line_and_the_exit_code_is_1(check):
    done = check((GOLDEN / "wrong.yaml").read_text())
    assert done.exit_code == 1
    assert done.stdout == (GOLDEN / "wrong.txt").read_text()


def test_a_good_file_is_summed_up(check):
    done = check("server: {port: 9000}\nmodels: [{name: a, launcher: sim}]\n")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "OK: gateway.yaml",
        "  data port   http://127.0.0.1:9000  (no key needed)",
        "  admin port  http://127.0.0.1:8081  (no token needed)",
        "  model       a  (1 by launcher sim)",
    ]


def test_a_static_replica_that_is_away_is_a_warning(check):
    with socket.socket() as listener, socket.socket() as closed:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        closed.bind(("127.0.0.1", 0))  # bound, so nobody else is there; not listening
        here, away = (f"http://127.0.0.1:{s.getsockname()[1]}" for s in (listener, closed))
        done = check(
            f"models:\n- name: a\n  static:\n  - {here}\n  - {away}\nstatic: [{away}]\n"
        )
        assert done.exit_code == 1
        assert "already; a replica has one model" in done.stdout
        done = check(f"models:\n- name: a\n  static:\n  - {here}\n  - {away}\n")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == (
        f"gateway.yaml:5: models[0].static[1]: warning: {away} does not answer now"
        " (Connection refused); it is served once it does"
    )
    assert "  model       a  (2 static)" in done.stdout


def test_what_is_not_acted_on_yet_is_a_warning(check):
    done = check("state:\n  redis_url: redis://r/0\n")
    assert done.stdout.splitlines()[0] == (
        "gateway.yaml:2: state.redis_url: warning: is valid, but this version does not act"
        " on it yet"
    )


def test_the_environment_counts(check):
    done = check("", {"TRTGW_SERVER__PORT": "x"})
    assert done.stdout == (
        "TRTGW_SERVER__PORT: server.port: must be a valid integer, not 'x'\n"
    )
    assert "replica     http://10.255" not in check("").stdout


def test_a_name_that_does_not_resolve_is_a_warning(check):
    done = check("static: ['http://no-such-host.invalid:1']\n")
    assert done.exit_code == 0
    assert "does not answer now" in done.stdout
    assert (
        "  replica     http://no-such-host.invalid:1  (its model is discovered)" in done.stdout
    )
