"""A block of the prefix tree."""

from backends.simulator.block_hash import hash_block, hash_salt


class Block:
    """A full block of prompt tokens; a root stands for the start of the prompts of one salt."""

    __slots__ = (
        "children",
        "holders",
        "known_hash",
        "parent",
        "released",
        "salt",
        "tokens",
    )

    def __init__(self, tokens: tuple[int, ...], parent: "Block | None", salt: str = "") -> None:
        self.tokens = tokens
        self.parent = parent
        """None for a root."""
        self.salt = salt
        """Set on roots only."""
        self.children: dict[tuple[int, ...], Block] = {}
        self.holders = 0
        self.released = 0
        """When its last holder let go, on the pool's count of releases; eviction follows it."""
        self.known_hash = hash_salt(salt) if parent is None else None

    @property
    def hash(self) -> int:
        """Its chained hash, computed when first asked for: only events need it.

        A loop, not recursion: a long prompt would need thousands of frames.
        """
        unknown = []
        block = self
        while block.known_hash is None and block.parent is not None:
            unknown.append(block)
            block = block.parent
        known = block.known_hash or 0
        for block in reversed(unknown):
            known = block.known_hash = hash_block(block.tokens, known)
        return known
