"""What ``serve`` prints once it serves: what runs where, and two requests to paste.

Rule: what it shows to paste works as it is, and its lines fit a terminal of 80 columns as long as
names and addresses are of usual length.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.fleet.fleet import ModelStatus

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - shown, not bound
_BOLD, _DIM, _GREEN, _YELLOW, _OFF = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[33m", "\x1b[0m"

_Paint = Callable[[str], str]

_CURL = """\
curl -sN {url}/v1/chat/completions \\
  -H 'content-type: application/json' \\
{key}  -d '{{"model": "{model}", "max_tokens": 32, "stream": true,
       "messages": [{{"role": "user", "content": "Where is New York?"}}]}}'"""
_CURL_KEY = '  -H "authorization: Bearer $API_KEY" \\\n'

_PYTHON = """\
from openai import OpenAI
client = OpenAI(base_url="{url}/v1", api_key={key})
answer = client.chat.completions.create(
    model="{model}", max_tokens=32,
    messages=[{{"role": "user", "content": "Where is New York?"}}])
print(answer.choices[0].message.content)"""
_PYTHON_KEY = '__import__("os").environ["API_KEY"]'


@dataclass(frozen=True, slots=True)
class Serving:
    """What runs where."""

    version: str
    data: tuple[str, int]
    """Host and port."""
    admin: tuple[str, int]
    models: Sequence[ModelStatus] = ()
    workers: int = 1
    asks_for_key: bool = False
    asks_for_token: bool = False
    token_file: Path | None = None
    """Holds an admin token that was made just now; None if none was."""
    replicas_end_too: bool = False
    """Whether spawned replicas stop with the gateway."""


def banner(serving: Serving, *, colour: bool) -> str:
    """Return the text, several lines; ``colour`` only for a terminal."""
    bold = _painter(_BOLD) if colour else str
    dim = _painter(_DIM) if colour else str
    url = _url(serving.data)
    workers = "1 worker" if serving.workers == 1 else f"{serving.workers} workers"
    key = "API key needed" if serving.asks_for_key else "no key needed"
    lines = [
        "",
        f"  {bold('trtllm-gateway')} {serving.version}",
        "",
        f"  {bold('Clients')}     {url}/v1  {dim(f'{workers}, {key}')}",
        f"  {bold('Operators')}   {_url(serving.admin)}  {dim(_token(serving))}",
        *([f"              {serving.token_file}"] if serving.token_file else []),
        "",
        *_models(serving.models, colour=colour),
    ]
    if serving.models:
        first = min(serving.models, key=lambda model: not model.ready).name
        lines += ["", *_requests(serving, url, first, bold)]
    return "\n".join([*lines, "", f"  {dim(_end(serving))}", ""])


def _models(models: Sequence[ModelStatus], *, colour: bool) -> list[str]:
    if not models:
        return ["  No models yet: trtllm-gateway serve --demo, --replica URL or --config FILE."]
    width = max(len(model.name) for model in models)
    return [
        f"  {_sign(model, colour=colour)} {model.name:<{width}}  {_state(model)}"
        for model in models
    ]


def _sign(model: ModelStatus, *, colour: bool) -> str:
    sign = "*" if model.ready else "-"
    return _painter(_GREEN if model.ready else _YELLOW)(sign) if colour else sign


def _state(model: ModelStatus) -> str:
    wanted = max(model.desired, model.replicas)
    noun = "replica" if wanted == 1 else "replicas"
    if not wanted:
        return "asleep, no replica wanted"
    if model.ready >= wanted:
        ready = "ready"
    elif model.ready:
        ready = f"{model.ready} ready, the others on their way"
    else:
        ready = "on the way" if model.loading else "none ready yet"
    return f"{wanted} {noun} ({model.launcher}), {ready}"


def _requests(serving: Serving, url: str, model: str, bold: _Paint) -> list[str]:
    asks = serving.asks_for_key
    curl = _CURL.format(url=url, model=model, key=_CURL_KEY if asks else "")
    key = _PYTHON_KEY if asks else '"not-needed"'
    python = _PYTHON.format(url=url, model=model, key=key)
    return [f"  {bold('Try it:')}", "", curl, "", f"  {bold('Or in Python:')}", "", python]


def _token(serving: Serving) -> str:
    if serving.token_file:
        return "a token was made; it is in"
    return "token needed" if serving.asks_for_token else "no token needed"


def _end(serving: Serving) -> str:
    replicas = "replicas stop too" if serving.replicas_end_too else "spawned replicas run on"
    return f"Ctrl-C drains and stops; {replicas}. Twice: at once."


def _url(address: tuple[str, int]) -> str:
    host, port = _ANY.get(address[0], address[0]), address[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _painter(code: str) -> _Paint:
    return lambda text: f"{code}{text}{_OFF}"
