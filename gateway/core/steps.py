"""Long work as steps: pure code says where it may pause, the shell decides what to do then.

Rule: no step takes long, whatever the client sent: between two of them the streams of others
get their turn.
"""

from collections.abc import Generator
from typing import TypeVar

Result = TypeVar("Result")
Steps = Generator[None, None, Result]
"""Yields wherever it may pause, and returns the result."""


def finish(steps: Steps[Result]) -> Result:
    """Take all of ``steps`` at once and return their result."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: Result = done.value
            return result
