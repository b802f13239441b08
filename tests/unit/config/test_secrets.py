import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.config.loading import build
from gateway.config.problems import ConfigInvalid
from gateway.config.secrets import (
    SecretUnusable,
    admin_tokens,
    api_keys,
    key_pepper,
    replica_environ,
)
from gateway.config.sources import parse_yaml
from gateway.core.keys import digest_key
from gateway.core.snapshot import KeyView

SECRET = "sk-0123456789abcdefghij"  # noqa: S105 - made up
PEPPER = bytes(32)


def config(text):
    return build(parse_yaml(text, "f"))


def test_the_pepper_is_made_once_and_only_its_owner_may_read_it(tmp_path):
    state = tmp_path / "new" / "state"
    pepper = key_pepper(state)
    assert len(pepper) == 32
    assert key_pepper(state) == pepper
    assert stat.S_IMODE((state / "pepper").stat().st_mode) == 0o600
    assert [file.name for file in state.iterdir()] == ["pepper"]


def test_two_starts_at_once_agree_on_the_pepper(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(key_pepper, [tmp_path] * 32))) == 1


@pytest.mark.parametrize("content", [b"", b"zz", b"00", b"\xff" * 64])
def test_a_damaged_pepper_is_never_replaced_in_silence(tmp_path, content):
    (tmp_path / "pepper").write_bytes(content)
    with pytest.raises(SecretUnusable, match="is damaged: delete it"):
        key_pepper(tmp_path)
    assert (tmp_path / "pepper").read_bytes() == content


def test_keys_become_digests_and_no_secret_is_left(tmp_path):
    (tmp_path / "a").write_text(f"{SECRET}\n")
    key = f"{{name: app, tenant: t, models: [m], key_file: {tmp_path}/a}}"
    text = f"models: [{{name: m}}]\nauth: {{keys: [{key}]}}"
    keys = api_keys(config(text), PEPPER)
    assert keys == {digest_key(SECRET.encode(), PEPPER): KeyView("app", "t", ("m",))}
    assert SECRET not in repr(keys)
    assert SECRET not in repr(config(text))


def test_without_keys_there_are_no_digests():
    assert api_keys(config(""), PEPPER) is None


def test_listed_admin_tokens_become_digests(tmp_path):
    (tmp_path / "t").write_text(SECRET)
    text = f"admin: {{tokens: [{{name: ops, role: viewer, token_file: {tmp_path}/t}}]}}"
    tokens, made = admin_tokens(config(text), PEPPER)
    assert made is None
    assert [(t.name, t.role, t.digest) for t in tokens] == [
        ("ops", "viewer", digest_key(SECRET.encode(), PEPPER))
    ]


def test_an_admin_token_is_made_at_the_first_start_and_kept(tmp_path):
    text = f"admin: {{auth: tokens}}\nstate: {{dir: {tmp_path}}}"
    tokens, made = admin_tokens(config(text), PEPPER)
    assert made == tmp_path / "admin.token"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    secret = made.read_text().strip()
    assert [(t.role, t.digest) for t in tokens] == [
        ("admin", digest_key(secret.encode(), PEPPER))
    ]
    assert admin_tokens(config(text), PEPPER) == (tokens, None)


def test_without_tokens_none_is_made():
    assert admin_tokens(config(""), PEPPER) == (None, None)


def test_a_key_that_became_unusable_is_named(tmp_path):
    file = tmp_path / "a"
    file.write_text(SECRET)
    checked = config(f"auth: {{keys: [{{name: a, key_file: {file}}}]}}")
    file.write_text("short")
    with pytest.raises(SecretUnusable, match="not 5"):
        api_keys(checked, PEPPER)


def test_the_hugging_face_token_reaches_replicas_from_its_file_alone(tmp_path):
    file = tmp_path / "hf.token"
    file.write_text("hf_0123456789abcdefghij\n")
    with_file = config(f"secrets: {{hf_token_file: {file}}}")
    assert replica_environ(with_file, {"HF_TOKEN": "old", "A": "b"}) == {
        "HF_TOKEN": "hf_0123456789abcdefghij",
        "A": "b",
    }
    assert replica_environ(config("{}"), {"HF_TOKEN": "old"}) == {"HF_TOKEN": "old"}


def test_a_hugging_face_token_that_cannot_be_read_is_told_before_the_start(tmp_path):
    with pytest.raises(ConfigInvalid, match="hf_token_file"):
        config(f"secrets: {{hf_token_file: {tmp_path / 'none'}}}")
