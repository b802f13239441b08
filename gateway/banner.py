"""What ``serve`` prints once it serves: what runs where, and two requests to paste.

Rule: what it shows to paste works as it is, and its lines fit a terminal of 80 columns, as long
as names and addresses are of usual length.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from backends.replica import ReplicaState
from gateway.fleet.models import ModelStatus
from gateway.state.store import Desired, ReplicaRecord

_ANY = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - shown, not bound
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
class Shown:
    """What runs where."""

    data_url: str
    admin_url: str
    models: Sequence[ModelStatus] = ()
    replicas: Sequence[ReplicaRecord] = ()
    token_file: Path | None = None
    """Holds an admin token that was made just now; None if none was."""
    asks_for_key: bool = False
    replicas_on_exit: str = "keep"


def banner(shown: Shown, *, terminal: bool) -> str:
    """Return the text, several lines, with colours for a ``terminal``."""
    bold = _painter(_BOLD) if terminal else str
    dim = _painter(_DIM) if terminal else str
    url = _reachable(shown.data_url)
    key = "API key needed" if shown.asks_for_key else "no key needed"
    lines = [
        "",
        f"  {bold('trtllm-gateway serves')}",
        "",
        f"  Clients    {url}/v1  {dim(f'({key})')}",
        f"  Operators  {_reachable(shown.admin_url)}",
        *([f"  Token      in {shown.token_file}, made just now"] if shown.token_file else []),
        "",
        *_models(shown, terminal=terminal),
    ]
    if shown.models:
        first = min(shown.models, key=lambda model: not model.ready).name
        lines += ["", *_requests(url, first, bold, asks_for_key=shown.asks_for_key)]
    return "\n".join([*lines, "", f"  {dim(_end(shown))}", "", ""])


def _models(shown: Shown, *, terminal: bool) -> list[str]:
    if not shown.models:
        return ["  No models yet: serve with --demo, --replica URL or --config FILE."]
    lines = []
    for model in shown.models:
        own = [replica for replica in shown.replicas if replica.spec.model == model.name]
        lines.append(f"  {model.name}  {_count(model, own)}")
        lines += [_replica(replica, terminal=terminal) for replica in own]
    return lines


def _count(model: ModelStatus, own: Sequence[ReplicaRecord]) -> str:
    wanted = max(model.desired, sum(replica.desired is Desired.RUN for replica in own))
    if not wanted:
        return "asleep: no replica is wanted"
    return f"{model.ready} of {wanted} {'replica' if wanted == 1 else 'replicas'} ready"


def _replica(replica: ReplicaRecord, *, terminal: bool) -> str:
    ready = replica.state is ReplicaState.READY
    state = f"{replica.state.value:<9}"
    if terminal:
        state = _painter(_GREEN if ready else _YELLOW)(state)
    return f"    {state}  {replica.url or replica.spec.url or '-':<23}  {replica.spec.launcher}"


def _requests(url: str, model: str, bold: _Paint, *, asks_for_key: bool) -> list[str]:
    curl = _CURL.format(url=url, model=model, key=_CURL_KEY if asks_for_key else "")
    key = _PYTHON_KEY if asks_for_key else '"not-needed"'
    python = _PYTHON.format(url=url, model=model, key=key)
    return [f"  {bold('Try it:')}", "", curl, "", f"  {bold('Or in Python:')}", "", python]


def _end(shown: Shown) -> str:
    stop = shown.replicas_on_exit == "stop"
    replicas = "replicas stop too" if stop else "spawned replicas run on for the next start"
    return f"Ctrl-C finishes what runs and stops; {replicas}."


def _reachable(url: str) -> str:
    """Return a URL that works on this host where ``url`` names every address."""
    parts = urlsplit(url)
    host = _ANY.get(parts.hostname or "")
    return url if host is None else f"{parts.scheme}://{host}:{parts.port}"


def _painter(code: str) -> _Paint:
    return lambda text: f"{code}{text}{_OFF}"
