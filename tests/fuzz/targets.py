"""All fuzz targets, by name."""

from tests.fuzz import answer, body, head, sse
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    each.TARGET.name: each.TARGET for each in (sse, body, head, answer)
}
