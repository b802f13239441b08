"""Send one request both ways, and say whether the gateway kept its promise.

What a replica answers, the gateway answers alike (`normalise`), having sent it the client's
own bytes (`edits`). What a replica refuses, the gateway refuses by the same field (`refusals`);
or it answers, because it left out what the refusal was about and nothing else: then the body
that it sent gets that very answer from the replica.
"""

from dataclasses import dataclass
from itertools import count

from tests.differential import edits, normalise, refusals
from tests.differential.asked import Asked
from tests.differential.asking import Asking
from tests.differential.json_pairs import members
from tests.differential.replicas import RecordedReplica
from tests.differential.valid_values import TABLES

_NUMBERS = count()
_PROMPTS = {"completions": "prompt", "chat": "messages"}
SAME, REFUSED, HELPED = "answered the same", "refused by both", "served by leaving out"


@dataclass(frozen=True)
class Bench:
    """A replica, and a gateway in front of it."""

    replica: RecordedReplica
    gateway_url: str
    asking: Asking

    def judge(self, asked: Asked) -> str:
        """Return what became of the request; fail if it broke a promise."""
        name = f"differential-{next(_NUMBERS)}"
        post, bodies = self.asking.post, self.replica.recorder.bodies
        direct = post(self.replica.url, asked.path, asked.body)
        through = post(self.gateway_url, asked.path, asked.body, x_request_id=name)
        body = bodies.pop(name, None)
        context = (asked, direct, through, body)
        assert not direct.cut, context
        assert not through.cut, context
        try:
            return self._verdict(asked, direct, through, body)
        except AssertionError as broken:
            broken.add_note("\n".join(map(repr, context)))
            raise

    def _verdict(self, asked, direct, through, body):
        if body is not None:
            self._check_body(asked, body)
        if direct.status == through.status == 200:
            self._check_same(asked, direct, through)
            return SAME
        assert direct.status == 400
        if through.status == 200:
            again = self.asking.post(self.replica.url, asked.path, body)
            self._check_same(asked, again, through)
            return HELPED
        assert through.status == 400
        self._check_refused(asked, direct, refusals.error_of(through), body)
        return REFUSED

    def _check_body(self, asked, body):
        sent, got = members(asked.body), members(body)
        edits.check(asked, sent, got, dialect=self.replica.dialect, source=self.replica.source)
        if sent == got:
            assert body == asked.body.removeprefix(edits.MARK)

    def _check_same(self, asked, direct, through):
        assert direct.status == 200
        assert through.kind == direct.kind
        assert normalise.of_gateway(through, asked) == normalise.of_replica(direct, asked)

    def _check_refused(self, asked, direct, error, body):
        said = error["code"], error["param"]
        if body is not None:  # the replica said it, of this body
            direct = self.asking.post(self.replica.url, asked.path, body)
            assert said in refusals.meant_by(direct, asked)
        elif said not in refusals.meant_by(direct, asked):
            assert said in self._meant_alone(asked, error["param"])

    def _meant_alone(self, asked, name):
        """Ask the replica what it has against the one field that the gateway refused."""
        base = {
            "model": '"m"',
            _PROMPTS[asked.kind]: TABLES[asked.kind][_PROMPTS[asked.kind]][0],
        }
        fields = base | {
            key: text
            for key, text in members(asked.body)
            if key == name or (key == "n" and name == "best_of")
        }
        text = ",".join(f'"{key}":{value}' for key, value in fields.items())
        alone = Asked(asked.kind, f"{{{text}}}".encode())
        reply = self.asking.post(self.replica.url, asked.path, alone.body)
        return refusals.meant_by(reply, alone)
