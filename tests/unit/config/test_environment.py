from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.environment import read_environment
from gateway.config.problems import ConfigInvalid, Place


def said(environ):
    with pytest.raises(ConfigInvalid) as caught:
        read_environment(environ)
    return [str(problem) for problem in caught.value.problems]


def test_sections_keys_and_deeper_keys_are_read():
    document = read_environment(
        {
            "TRTGW_SERVER__PORT": "9000",
            "TRTGW_DEFAULTS__TIMEOUTS__CONNECT_S": "3",
            "TRTGW_MODELS": '[{"name": "a"}]',
            "TRTGW_STATE__REDIS_URL": "null",
            "PATH": "/bin",
        }
    )
    assert document.values == {
        "server": {"port": "9000"},
        "defaults": {"timeouts": {"connect_s": "3"}},
        "models": [{"name": "a"}],
        "state": {"redis_url": None},
    }
    assert document.place(("server", "port")) == Place("TRTGW_SERVER__PORT")
    assert document.place(("models", 0, "name")) == Place("TRTGW_MODELS")


def test_variables_of_the_command_line_are_no_settings():
    environ = {"TRTGW_ADMIN_URL": "http://x", "TRTGW_ADMIN_TOKEN": "x", "TRTGW_INSTANCE": "i"}
    assert read_environment(environ).values == {}


def test_a_value_may_stand_in_a_file(tmp_path):
    file = tmp_path / "redis"
    file.write_text("redis://:secret@host/0\n")
    document = read_environment({"TRTGW_STATE__REDIS_URL_FILE": str(file)})
    assert document.values == {"state": {"redis_url": "redis://:secret@host/0"}}


def test_a_key_that_is_itself_a_files_name_is_left_alone():
    document = read_environment({"TRTGW_SECRETS__HF_TOKEN_FILE": "/run/token"})
    assert document.values == {"secrets": {"hf_token_file": "/run/token"}}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TRTGW_SEVER__PORT", "1", "sever.port: unknown key; did you mean server?"),
        ("TRTGW_SERVER_PORT", "1",
         "server.port: is no setting; did you mean TRTGW_SERVER__PORT?"),
        ("TRTGW_MODELS", "[", "models: must be JSON here, such as [] or {}"),
        ("TRTGW_SERVER__PORT_FILE", "/nowhere", "server.port_file: cannot read '/nowhere'"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_named(name, value, message):
    assert said({name: value})[0].startswith(f"{name}: {message}")


def test_all_wrong_variables_are_told_at_once():
    assert len(said({"TRTGW_A__B": "1", "TRTGW_C__D": "1", "TRTGW_SERVER__PORT": "1"})) == 2


NAMES = st.sampled_from(
    ["TRTGW_SERVER", "TRTGW_SERVER__PORT", "TRTGW_MODELS", "TRTGW_MODELS__0__NAME",
     "TRTGW_AUTH__KEYS", "TRTGW_", "TRTGW___", "TRTGW_STATIC", "TRTGW_STATE__DIR",
     "TRTGW_DEFAULTS__SLO", "TRTGW_TELEMETRY__LOG__LEVEL__X"]
)  # fmt: skip


@given(
    name=NAMES, value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
)
def test_no_value_breaks_the_reader(name, value):
    with suppress(ConfigInvalid):
        read_environment({name: value})
