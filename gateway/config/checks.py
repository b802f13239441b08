"""Rules between keys: what no single key can show to be wrong.

Each rule is a generator of ``(key path, message)``, so that all of them report at once.
"""

from collections.abc import Iterator

from pydantic import BaseModel

from gateway.config.models import ModelKeys
from gateway.config.problems import KeyPath, dotted
from gateway.config.schema import Config
from gateway.config.secrets import SecretUnusable, read_secret
from gateway.core.hosts import is_loopback

Finding = tuple[KeyPath, str]


def findings(config: Config) -> Iterator[Finding]:
    """Yield all that is wrong with a configuration whose keys are right one by one."""
    yield from _ports(config)
    yield from _open_ports(config)
    yield from _secrets(config)
    yield from _names(config)
    yield from _references(config)
    yield from _counts(config)
    yield from _static(config)


def unused(config: Config) -> list[tuple[KeyPath, str]]:
    """Return the keys that are set and valid, but that this version does not act on yet."""
    paths = [path for path in _UNUSED if _is_set(config, path)]
    blocks: list[tuple[KeyPath, ModelKeys]] = [(("defaults",), config.defaults)]
    blocks += [(("models", i), model) for i, model in enumerate(config.models)]
    for prefix, block in blocks:
        paths += [(*prefix, *path) for path in _UNUSED_OF_MODELS if _is_set(block, path)]
    for i, key in enumerate(config.auth.keys):
        if key.limits.model_fields_set:
            paths.append(("auth", "keys", i, "limits"))
    return [(path, "is valid, but this version does not act on it yet") for path in paths]


_UNUSED: tuple[KeyPath, ...] = (
    ("state", "redis_url"),
    ("telemetry", "log", "prefix_chain"),
    ("docker",),
)
_UNUSED_OF_MODELS: tuple[KeyPath, ...] = (
    *((key,) for key in ("autoscale", "slo", "routing")),
    *((key,) for key in ("split", "shadow", "fallback")),
)


def _is_set(section: BaseModel, path: KeyPath) -> bool:
    """Say whether somebody set the key at ``path`` below ``section``."""
    key, *rest = path
    if key not in section.model_fields_set:
        return False
    return not rest or _is_set(getattr(section, str(key)), tuple(rest))


def _ports(config: Config) -> Iterator[Finding]:
    server, admin = config.server, config.admin
    same_host = server.host == admin.host or "0.0.0.0" in {server.host, admin.host}  # noqa: S104 - compared, not bound
    if server.port == admin.port != 0 and same_host:
        section = "admin" if "port" in admin.model_fields_set else "server"
        other = "data" if section == "admin" else "admin"
        yield (section, "port"), f"is the {other} port too ({server.port}); give each its own"


def _open_ports(config: Config) -> Iterator[Finding]:
    """Whoever can reach a port beyond loopback must show a key or a token."""
    for section in ("server", "admin"):
        host = getattr(config, section).host
        if is_loopback(host):
            continue
        missing = []
        if not (config.auth.asks_for_key and config.auth.keys):
            missing.append("auth.mode: keys with at least one of auth.keys")
        if not config.admin.asks_for_token:
            missing.append("admin.auth: tokens")
        if missing:
            needed = " and ".join(missing)
            said = f"{host} can be reached from other machines; set {needed}, or bind 127.0.0.1"
            yield (section, "host"), said


def _secrets(config: Config) -> Iterator[Finding]:
    files = [
        (("auth", "keys", i, "key_file"), key.name, key.key_file)
        for i, key in enumerate(config.auth.keys)
    ] + [
        (("admin", "tokens", i, "token_file"), token.name, token.token_file)
        for i, token in enumerate(config.admin.tokens)
    ]
    if config.secrets.hf_token_file is not None:
        try:
            read_secret(config.secrets.hf_token_file)
        except SecretUnusable as error:
            yield ("secrets", "hf_token_file"), str(error)
    names: set[tuple[object, str]] = set()
    holders: dict[str, str] = {}
    for path, name, file in files:
        if (path[0], name) in names:
            yield (*path[:-1], "name"), f"{name!r} is another one's name already"
        names.add((path[0], name))
        try:
            secret = read_secret(file)
        except SecretUnusable as error:
            yield path, str(error)
            continue
        if secret in holders:
            yield path, f"holds the same secret as {holders[secret]}; each needs its own"
        holders.setdefault(secret, dotted(path[:-1]))
    if config.auth.mode == "keys" and not config.auth.keys:
        yield (
            ("auth", "mode"),
            "asks for keys, but auth.keys lists none: nobody could be served",
        )


def _names(config: Config) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    for i, model in enumerate(config.models):
        own = dotted(("models", i))
        if model.name in owners:
            yield ("models", i, "name"), f"{model.name!r} is {owners[model.name]} already"
        owners.setdefault(model.name, f"the name of {own}")
    for i, model in enumerate(config.models):
        own = dotted(("models", i))
        for j, alias in enumerate(model.aliases):
            if alias in owners:
                yield ("models", i, "aliases", j), f"{alias!r} is {owners[alias]} already"
            owners.setdefault(alias, f"an alias of {own}")


def _references(config: Config) -> Iterator[Finding]:
    known = {model.name for model in config.models}
    for i, model in enumerate(config.models):
        named: list[tuple[KeyPath, str]] = []
        named += [(("split", j, "to"), arm.to) for j, arm in enumerate(model.split)]
        named += [(("shadow", j, "to"), copy.to) for j, copy in enumerate(model.shadow)]
        named += [(("fallback", j), other) for j, other in enumerate(model.fallback)]
        for path, other in named:
            if other == model.name:
                yield ("models", i, *path), "is the model itself"
            elif other not in known:
                listed = ", ".join(sorted(known))
                yield ("models", i, *path), f"there is no model {other!r}; models are {listed}"
    for i, key in enumerate(config.auth.keys):
        for j, name in enumerate(key.models or ()):
            if name not in known and not config.static:
                listed = ", ".join(sorted(known)) or "none"
                yield (
                    ("auth", "keys", i, "models", j),
                    f"there is no model {name!r}; models are {listed}",
                )


def _counts(config: Config) -> Iterator[Finding]:
    for i, model in enumerate(config.resolved_models()):
        low, high, start = model.replicas.min, model.replicas.max, model.replicas.initial
        if low > high:
            yield ("models", i, "replicas", "min"), f"{low} is above max {high}"
        elif not low <= start <= high:
            yield (
                ("models", i, "replicas", "initial"),
                f"{start} is not between min {low} and max {high}; change one of them",
            )


def _static(config: Config) -> Iterator[Finding]:
    places: dict[str, str] = {}
    lists: list[tuple[KeyPath, tuple[str, ...]]] = [(("static",), config.static)]
    lists += [(("models", i, "static"), model.static) for i, model in enumerate(config.models)]
    for path, urls in lists:
        for j, url in enumerate(urls):
            if url in places:
                yield (*path, j), f"{url} is at {places[url]} already; a replica has one model"
            places.setdefault(url, dotted((*path, j)))
