import pytest

from gateway.config import ConfigInvalid
from gateway.config.checks import unused
from gateway.config.loading import build
from gateway.config.problems import dotted
from gateway.config.sources import parse_yaml

SECRET = "sk-0123456789abcdefghij"  # noqa: S105 - made up


def said(text):
    """Return ``path: message`` of each problem of a configuration."""
    try:
        build(parse_yaml(text, "f"))
    except ConfigInvalid as error:
        return [f"{p.path}: {p.message}" for p in error.problems]
    return []


@pytest.fixture
def secret(tmp_path):
    """Write a secret's file and return its path."""

    def write(name, text=SECRET):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.mark.parametrize("section", ["server", "admin"])
@pytest.mark.parametrize("host", ["192.168.0.1", "'::'", "10.0.0.1", "gateway.example"])
def test_a_bind_beyond_loopback_without_keys_and_tokens_is_refused(section, host):
    (problem,) = said(f"{section}: {{host: {host}}}")
    assert problem.startswith(f"{section}.host: ")
    assert "auth.mode: keys" in problem
    assert "admin.auth: tokens" in problem
    assert "or bind 127.0.0.1" in problem


def test_a_bind_beyond_loopback_needs_admin_tokens_even_with_keys(secret):
    keys = f"auth: {{mode: keys, keys: [{{name: a, key_file: {secret('a.key')}}}]}}\n"
    (problem,) = said(f"server: {{host: 10.0.0.1}}\n{keys}")
    assert "set admin.auth: tokens, or bind" in problem
    assert said(f"server: {{host: 10.0.0.1}}\nadmin: {{auth: tokens}}\n{keys}") == []


def test_a_bind_beyond_loopback_needs_keys_even_with_tokens():
    (problem,) = said("server: {host: 10.0.0.1}\nadmin: {auth: tokens}")
    assert "set auth.mode: keys with at least one of auth.keys, or bind" in problem


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "'::1'", "127.0.0.9"])
def test_loopback_needs_neither(host):
    assert said(f"server: {{host: {host}}}\nadmin: {{host: {host}}}") == []


def test_keys_that_are_listed_are_asked_for_unless_it_says_none(secret):
    keys = f"keys: [{{name: a, key_file: {secret('a.key')}}}]"
    assert build(parse_yaml(f"auth: {{{keys}}}", "f")).auth.asks_for_key
    assert not build(parse_yaml(f"auth: {{mode: none, {keys}}}", "f")).auth.asks_for_key


def test_keys_that_are_asked_for_must_be_there():
    (problem,) = said("auth: {mode: keys}")
    assert problem.startswith("auth.mode: asks for keys, but auth.keys lists none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("too-short", "must have 20 to 128 characters, not 9"),
        ("x" * 129, "must have 20 to 128 characters, not 129"),
        ("has a space in the middle of it", "must be visible ASCII"),
        ("schlüssel-ohne-ascii-zeichen", "must be visible ASCII"),
        ("  \n", "is empty"),
    ],
)
def test_what_a_key_file_must_hold(secret, text, message):
    (problem,) = said(f"auth: {{keys: [{{name: a, key_file: {secret('a.key', text)}}}]}}")
    assert problem.startswith("auth.keys[0].key_file: the secret in ")
    assert message in problem


def test_a_key_file_that_is_not_there_is_named(tmp_path):
    (problem,) = said(f"auth: {{keys: [{{name: a, key_file: {tmp_path}/none}}]}}")
    assert (
        problem
        == f"auth.keys[0].key_file: cannot read {tmp_path}/none: No such file or directory"
    )


def test_two_keys_need_two_names_and_two_secrets(secret):
    file = secret("a.key")
    key = f"{{name: a, key_file: {file}}}"
    assert said(f"auth: {{keys: [{key}, {key}]}}") == [
        "auth.keys[1].key_file: holds the same secret as auth.keys[0]; each needs its own",
        "auth.keys[1].name: 'a' is another one's name already",
    ]


def test_an_admin_token_must_not_be_an_api_key_too(secret):
    file = secret("a.key")
    (problem,) = said(
        f"auth: {{keys: [{{name: a, key_file: {file}}}]}}\n"
        f"admin: {{tokens: [{{name: a, role: admin, token_file: {file}}}]}}"
    )
    assert problem.startswith(
        "admin.tokens[0].token_file: holds the same secret as auth.keys[0]"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "models: [{name: a}, {name: a}]",
            ["models[1].name: 'a' is the name of models[0] already"],
        ),
        (
            "models: [{name: a, aliases: [b]}, {name: b}]",
            ["models[0].aliases[0]: 'b' is the name of models[1] already"],
        ),
        (
            "models: [{name: a, aliases: [x, x]}, {name: b, aliases: [x]}]",
            [
                "models[0].aliases[1]: 'x' is an alias of models[0] already",
                "models[1].aliases[0]: 'x' is an alias of models[0] already",
            ],
        ),
        (
            "models: [{name: a, replicas: {min: 3, max: 1}}]",
            ["models[0].replicas.min: 3 is above max 1"],
        ),
        (
            "models: [{name: a, replicas: {initial: 9}}]",
            ["models[0].replicas.initial: 9 is not between min 0 and max 4; change"],
        ),
        (
            "defaults: {replicas: {min: 2}}\nmodels: [{name: a}]",
            ["models[0].replicas.initial: 1 is not between min 2 and max 4; change"],
        ),
        (
            """models: [{name: a, split: [{to: b, weight: 1}], fallback: [a],
                        shadow: [{to: c, share: 1}]}]""",
            [
                "models[0].fallback[0]: is the model itself",
                "models[0].split[0].to: there is no model 'b'; models are a",
                "models[0].shadow[0].to: there is no model 'c'; models are a",
            ],
        ),
        (
            "models: [{name: a, static: ['http://r:1']}, {name: b, static: ['http://r:1/']}]",
            ["models[1].static[0]: http://r:1 is at models[0].static[0] already"],
        ),
        ("server: {port: 8081}", ["server.port: is the admin port too (8081); give each"]),
        ("admin: {port: 8080}", ["admin.port: is the data port too (8080); give each"]),
        ("admin: {port: 0}\nserver: {port: 0}", []),
    ],
)
def test_rules_between_keys(text, expected):
    found = said(text)
    assert [each[: len(start)] for each, start in zip(found, expected, strict=True)] == expected


def test_a_key_may_name_only_models_that_there_are(secret):
    key = f"auth: {{keys: [{{name: a, models: [x], key_file: {secret('a.key')}}}]}}\n"
    assert said(key) == ["auth.keys[0].models[0]: there is no model 'x'; models are none"]
    assert said(f"{key}models: [{{name: x}}]") == []
    assert said(f"{key}static: ['http://r:1']") == []  # its model may be called x


def test_what_this_version_does_not_act_on_yet_is_known(secret):
    key = f"{{name: a, key_file: {secret('a.key')}, limits: {{rpm: 1}}}}"
    config = build(
        parse_yaml(
            f"auth: {{keys: [{key}]}}\n"
            "state: {redis_url: redis://r/0}\n"
            "server: {header_s: 2, body_s: 3, port: 1}\n"
            "telemetry: {log: {prefix_chain: true}}\n"
            "defaults: {retry: {attempts: 1, budget_min: 1}}\n"
            "models: [{name: a, limits: {queue: 1, n: 1}, slo: []}]\n",
            "f",
        )
    )
    assert [dotted(path) for path, _ in unused(config)] == [
        "state.redis_url",
        "telemetry.log.prefix_chain",
        "models[0].slo",
        "auth.keys[0].limits",
    ]
