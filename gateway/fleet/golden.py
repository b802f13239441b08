"""The golden prompts: what replicas are asked to see whether they still answer alike.

Rule: short, plain, and of several kinds (prose, code, numbers, another language), so that what
is broken in a replica shows in some of them. Only answers of one round are compared with each
other, so prompts may be changed at any time.
"""


class NotComparable(Exception):  # noqa: N818 - names the condition
    """A replica does not answer in a way that can be compared; the message says why."""


PROMPTS = (
    "The capital of France is",
    "Water boils at a temperature of",
    "def fibonacci(n):\n    ",
    "1, 2, 4, 8, 16,",
    "Der schnelle braune Fuchs springt",
)
