"""A client that shows the bytes of an answer, over one connection for each server."""

import http.client
from dataclasses import dataclass, field
from urllib.parse import urlsplit

TIMEOUT_S = 60


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    kind: str
    """``content-type``."""
    body: bytes
    headers: dict[str, str]
    cut: bool = False
    """The connection was closed before the end of the answer."""

    @property
    def is_stream(self) -> bool:
        return self.kind.startswith("text/event-stream")


@dataclass
class Asking:
    """Sends bodies as they are."""

    _connections: dict[str, http.client.HTTPConnection] = field(default_factory=dict)

    def post(self, url: str, path: str, body: bytes, **headers: str) -> Answer:
        given = {"content-type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        fresh = url not in self._connections
        try:
            return self._post(url, path, body, given)
        except (ConnectionError, http.client.BadStatusLine):
            self.close(url)
            if fresh:
                raise
            # It was kept from an earlier request, and its server had closed it meanwhile.
            return self._post(url, path, body, given)

    def _post(self, url: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        connection = self._connections.get(url)
        if connection is None:
            connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)
            self._connections[url] = connection
        connection.request("POST", path, body, headers)
        reply = connection.getresponse()
        try:
            text, cut = reply.read(), False
        except http.client.IncompleteRead as broken:
            text, cut = broken.partial, True
            self.close(url)
        names = {name.lower(): value for name, value in reply.getheaders()}
        return Answer(reply.status, names.get("content-type", ""), text, names, cut)

    def close(self, url: str) -> None:
        if url in self._connections:
            self._connections.pop(url).close()

    def close_all(self) -> None:
        for url in list(self._connections):
            self.close(url)
