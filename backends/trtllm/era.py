"""Which era of ``trtllm-serve``'s wire contract a server speaks.

Judged by what it offers; its version number only settles what that leaves open, since builds
between two releases carry either number.
"""

import re
from collections.abc import Mapping
from typing import Literal

Era = Literal["1.0", "1.1", "1.2", "main"]
_NUMBER = re.compile(r"(\d+)\.(\d+)")


def judge_era(
    version: str | None, server_info: Mapping[str, object] | None, *, has_clock: bool | None
) -> Era:
    """Return the era.

    Args:
        version: of ``/version``; None if it says nothing.
        server_info: of ``/server_info``; None where the route is missing, as before 1.2.
        has_clock: whether there is ``/steady_clock_offset``, as from 1.1; None if not asked.
    """
    number = _number(version)
    if number is not None and number >= (1, 3):
        return "main"  # its server of embeddings has neither of the two routes
    if server_info is not None:
        return "main" if "max_batch_size" in server_info else "1.2"
    if has_clock is not None:
        return "1.1" if has_clock else "1.0"
    return "1.0" if number is not None and number < (1, 1) else "1.1"


def _number(version: str | None) -> tuple[int, int] | None:
    match = _NUMBER.match(version or "")
    return (int(match[1]), int(match[2])) if match else None
