"""The environment as a source: ``TRTGW_<SECTION>__<KEY>``, or ``..._FILE`` to name a file.

Variables are read one by one, so that each problem names its variable. Variables of the same
prefix without ``__`` (such as those for the command line's own options) are not settings.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_settings import EnvSettingsSource, SettingsError

from gateway.config.problems import (
    ConfigInvalid,
    KeyPath,
    Place,
    Problem,
    dotted,
    keys_at,
    unknown_key,
)
from gateway.config.schema import ENV_DELIMITER, ENV_PREFIX, Config
from gateway.config.sources import Document

_FILE = "_file"


def read_environment(environ: Mapping[str, str]) -> Document:
    """Read the settings among the variables.

    Raises:
        ConfigInvalid: a variable names no setting, or its value or file cannot be read.
    """
    document, problems = Document(), []
    for name in sorted(environ):
        if not name.upper().startswith(ENV_PREFIX):
            continue
        try:
            document = _read(name, environ[name]).over(document)
        except ConfigInvalid as error:
            problems += error.problems
    if problems:
        raise ConfigInvalid(problems)
    return document


def _read(name: str, value: str) -> Document:
    key = name[len(ENV_PREFIX) :].lower()
    path: KeyPath = tuple(key.split(ENV_DELIMITER))
    section, sections = str(path[0]), keys_at(Config, ())
    if section not in sections:
        if len(path) > 1:
            raise _problem(name, path, unknown_key(section, sections))
        _refuse_single_underscore(name, key, sections)
        return Document()
    path, value = _from_file(name, path, value)
    source = EnvSettingsSource(Config, env_parse_none_str="null")
    variable = (ENV_PREFIX + ENV_DELIMITER.join(map(str, path))).lower()
    source.env_vars = {variable: None if value == "null" else value}
    try:
        values: dict[str, Any] = source()
    except SettingsError:
        raise _problem(name, path, "must be JSON here, such as [] or {}") from None
    return Document(values, {path: Place(name)})


def _from_file(name: str, path: KeyPath, value: str) -> tuple[KeyPath, str]:
    """Take the value from a file when the variable is ``KEY_FILE`` and that is no key."""
    last = str(path[-1])
    if not last.endswith(_FILE) or last in keys_at(Config, path[:-1]):
        return path, value
    try:
        text = Path(value).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _problem(name, path, f"cannot read {value!r}: {error}") from None
    return (*path[:-1], last.removesuffix(_FILE)), text


def _refuse_single_underscore(name: str, key: str, sections: tuple[str, ...]) -> None:
    for section in sections:
        rest = key.removeprefix(f"{section}_")
        if rest != key and rest in keys_at(Config, (section,)):
            right = f"{ENV_PREFIX}{section}{ENV_DELIMITER}{rest}".upper()
            raise _problem(name, (section, rest), f"is no setting; did you mean {right}?")


def _problem(name: str, path: KeyPath, message: str) -> ConfigInvalid:
    return ConfigInvalid([Problem(Place(name), dotted(path), message)])
