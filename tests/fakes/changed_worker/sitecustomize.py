"""Changes a gateway's workers as they start, for tests that need one that differs.

Python imports this by itself from a folder on ``PYTHONPATH``. ``CHANGED_WORKER`` names the
changes; each says in the log that it was made. What they change is imported by a worker alone:
every Python process of the gateway comes through here.
"""

import os
import sys


def through_asgi():
    """Serve every client through ASGI, as behind a server without a way past it."""
    from gateway.api.server import HttpServer  # noqa: PLC0415 - see above

    made = HttpServer.__init__

    def without_splice(self, app, *, spliced=None, **others):  # noqa: ARG001 - dropped
        made(self, app, spliced={}, **others)

    HttpServer.__init__ = without_splice


def never_pausing():
    """Write on, whether the client reads or not."""
    from uvicorn.protocols.http.flow_control import FlowControl  # noqa: PLC0415 - see above

    from gateway.dataplane.direct import DirectClient  # noqa: PLC0415 - see above

    async def drain(self):
        pass

    FlowControl.drain = drain
    DirectClient.writing_paused = lambda self: None  # noqa: ARG005 - the method's signature


def ends_believed():
    """Take every well-formed end of a replica's stream for the end of the answer.

    The way past ASGI ends no stream by itself, so that way is closed as well.
    """
    from gateway.core.stream import AnswerStream  # noqa: PLC0415 - see above

    through_asgi()
    AnswerStream.closed = lambda self: None  # noqa: ARG005 - the method's signature


def few_files():
    """Have 200 descriptors and no more."""
    import resource  # noqa: PLC0415 - see above

    resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))


def no_most_connections():
    """Accept whoever comes."""
    from gateway.api.listening import Listeners  # noqa: PLC0415 - see above

    made = Listeners.__init__

    def without_limit(self, protocol, connections, most):  # noqa: ARG001 - dropped
        made(self, protocol, connections, None)

    Listeners.__init__ = without_limit


def no_last_connections():
    """Close idle connections at once, whoever follows."""
    from gateway.api import server  # noqa: PLC0415 - see above

    server._LAST_CONNECTIONS_S = 0.0


_CHANGES = {
    each.__name__: each
    for each in (
        through_asgi,
        never_pausing,
        ends_believed,
        few_files,
        no_most_connections,
        no_last_connections,
    )
}

if "gateway.worker" in sys.orig_argv:
    for name in os.environ.get("CHANGED_WORKER", "").split():
        _CHANGES[name]()
        sys.stderr.write(f"this worker is changed: {name}\n")
