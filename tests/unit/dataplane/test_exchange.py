from types import SimpleNamespace

from gateway.core.answers import Naming
from gateway.core.outcome import RequestFacts
from gateway.core.snapshot import ModelView
from gateway.dataplane.exchange import Exchange
from tests.unit.core.transcripts import completion


def exchange(headers, more=b""):
    return Exchange(
        request=completion(more),
        model=ModelView("m", 1),
        client=SimpleNamespace(asked=headers),
        facts=RequestFacts(started_at=0.0, operation="completions"),
        naming=Naming("m", "id", 1, "k", b"p"),
        trace=None,
        expose_replica=True,
    )


def test_the_session_is_the_headers_or_else_the_bodys():
    keyed = b',"prompt_cache_key":"from the body"'
    assert exchange({b"x-session-id": b"from a header"}, keyed).session == b"from a header"
    assert exchange({}, keyed).session == b"from the body"
    assert exchange({}).session is None
