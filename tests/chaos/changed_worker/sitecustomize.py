"""Takes a mechanism away from a gateway's workers as they start: chaos must then be found out.

The technique is that of ``tests/fakes/changed_worker``.
"""

import os
import sys


def ends_believed():
    """Take every well-formed end of a replica's stream for the end of the answer.

    The way past ASGI ends no stream by itself, so that way is closed as well.
    """
    from gateway.api.server import HttpServer  # noqa: PLC0415 - a worker alone has it
    from gateway.core.stream import AnswerStream  # noqa: PLC0415 - see above

    made = HttpServer.__init__

    def without_splice(self, app, *, spliced=None, **others):  # noqa: ARG001 - dropped
        made(self, app, spliced={}, **others)

    HttpServer.__init__ = without_splice
    AnswerStream.closed = lambda self: None  # noqa: ARG005 - the method's signature


def no_retry():
    """Send no request to a second replica."""
    from gateway.core.errors import (  # noqa: PLC0415 - see above
        ReplicaBusy,
        UpstreamConnectFailed,
        UpstreamDisconnected,
        UpstreamError,
        UpstreamProtocolError,
        UpstreamStalled,
        UpstreamTimeout,
    )

    for kind in (
        UpstreamError,
        ReplicaBusy,
        UpstreamConnectFailed,
        UpstreamDisconnected,
        UpstreamProtocolError,
        UpstreamTimeout,
        UpstreamStalled,
    ):
        kind.retryable = False


_CHANGES = {"ends_believed": ends_believed, "no_retry": no_retry}

if "gateway.worker" in sys.orig_argv:
    for name in os.environ.get("CHANGED_WORKER", "").split():
        _CHANGES[name]()
        sys.stderr.write(f"this worker is changed: {name}\n")
