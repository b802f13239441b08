"""Named profiles ``<model>-<precision>-<n>x<gpu>``: how long one iteration takes on which hardware."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """The constants of one model on one set of GPUs."""

    name: str
    max_batch_size: int
    max_num_tokens: int
    kv_pool_tokens: int


class UnknownProfile(ValueError):  # noqa: N818 - names the condition
    """No profile has that name; the message lists those that exist."""


def profile(name: str) -> Profile:
    """Return the profile called ``name``.

    Raises:
        UnknownProfile: there is none of that name.
    """
    ...
