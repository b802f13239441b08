"""All fuzz targets, by name."""

from tests.fuzz import answer, body, head, reply, sse
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    each.TARGET.name: each.TARGET for each in (sse, reply, body, head, answer)
}
