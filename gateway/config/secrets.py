"""Secrets in files: keys and tokens that operators wrote, and those made at first start.

Rule: a secret leaves this module only as a digest, and no message ever shows one.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp

from gateway.config.schema import Config
from gateway.core.keys import PEPPER_BYTES, digest_key, secret_problem
from gateway.core.snapshot import KeyView

_PEPPER = "pepper"
_TOKEN = "admin.token"  # noqa: S105 - a file's name


class SecretUnusable(ValueError):  # noqa: N818 - names the condition
    """A secret's file cannot be read, or what it holds is no secret."""


@dataclass(frozen=True, slots=True)
class TokenDigest:
    """An admin token as the admin port knows it."""

    name: str
    role: str
    digest: str


def read_secret(file: Path) -> str:
    """Return the secret that ``file`` holds, without the white space around it.

    Raises:
        SecretUnusable: it cannot be read, or is not 20 to 128 visible ASCII characters.
    """
    try:
        secret = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise SecretUnusable(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretUnusable(f"the secret in {file} must be visible ASCII characters") from None
    problem = secret_problem(secret)
    if problem is not None:
        raise SecretUnusable(f"the secret in {file} {problem}")
    return secret


def key_pepper(state_dir: Path, random_bytes: Callable[[int], bytes] = os.urandom) -> bytes:
    """Return this gateway's pepper; the first call makes it.

    Raises:
        SecretUnusable: the file is there, but cannot be read or is no pepper.
        OSError: the state directory cannot be written.
    """
    text = _read_or_make(state_dir / _PEPPER, random_bytes(PEPPER_BYTES).hex())
    try:
        pepper = bytes.fromhex(text)
    except ValueError:
        pepper = b""
    if len(pepper) != PEPPER_BYTES:
        raise SecretUnusable(
            f"{state_dir / _PEPPER} is damaged: delete it to have a new one made"
        )
    return pepper


def api_keys(config: Config, pepper: bytes) -> dict[str, KeyView] | None:
    """Return digest -> key for the snapshot; None when no key is asked for.

    Raises:
        SecretUnusable: a key's file cannot be used.
    """
    if not config.auth.asks_for_key:
        return None
    return {
        digest_key(read_secret(key.key_file).encode(), pepper): KeyView(
            id=key.name, tenant=key.tenant, models=key.models
        )
        for key in config.auth.keys
    }


def replica_environ(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what replicas may inherit from: ``environ``, with the Hugging Face token if set.

    Raises:
        SecretUnusable: the token's file cannot be used.
    """
    file = config.secrets.hf_token_file
    return {**environ} if file is None else {**environ, "HF_TOKEN": read_secret(file)}


def admin_tokens(
    config: Config, pepper: bytes, random_bytes: Callable[[int], bytes] = os.urandom
) -> tuple[tuple[TokenDigest, ...] | None, Path | None]:
    """Return the admin port's tokens, None when it asks for none, and the file of one made now.

    With ``auth: tokens`` and no token listed, one of role admin is made at the first start.

    Raises:
        SecretUnusable: a token's file cannot be used.
        OSError: the state directory cannot be written.
    """
    if not config.admin.asks_for_token:
        return None, None
    listed = tuple(
        TokenDigest(t.name, t.role, digest_key(read_secret(t.token_file).encode(), pepper))
        for t in config.admin.tokens
    )
    if listed:
        return listed, None
    file = config.state.dir / _TOKEN
    made = None if file.exists() else file
    secret = _read_or_make(file, f"trtgw_{random_bytes(PEPPER_BYTES).hex()}")
    return (TokenDigest("generated", "admin", digest_key(secret.encode(), pepper)),), made


def _read_or_make(file: Path, fresh: str) -> str:
    """Return what ``file`` holds; write ``fresh`` into it first if there is none.

    It is written aside and linked into place: who comes second reads the first one's, whole.
    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, aside = mkstemp(dir=file.parent, prefix=".")  # for its owner only
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(fresh + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            file.hardlink_to(aside)
        except FileExistsError:
            pass
        finally:
            Path(aside).unlink()
    try:
        return file.read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        raise SecretUnusable(f"{file} is damaged: delete it to have one made") from None
