"""GPUs as values: what the planner may use, read from a driver or imagined.

Decide on compute capability, never on names: one product name covers several chips.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, or one MIG slice of it."""

    uuid: str
    """As CUDA_VISIBLE_DEVICES takes it: ``GPU-...`` or ``MIG-...``."""
    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    """What CUDA programs can allocate: the total less what the driver reserves."""
    free_bytes: int
    index: int = 0
    """Position in PCI order."""
    island: int = 0
    """GPUs with the same number reach each other over NVLink; one without links is alone."""
    mig: bool = False
    """A slice: no peer-to-peer traffic, so no tensor parallelism."""
    shared_memory: bool = False
    """Shares its memory with the CPU."""
    problem: str | None = None
    """Why it cannot be used; None for a usable one."""

    @property
    def sm(self) -> int:
        """Compute capability as one number: 90 for 9.0, 103 for 10.3."""
        major, minor = self.compute_capability
        return major * 10 + minor

    @property
    def used_bytes(self) -> int:
        """Memory that somebody holds already."""
        return max(0, self.memory_bytes - self.free_bytes)


@dataclass(frozen=True, slots=True)
class Inventory:
    """The GPUs of one host."""

    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    """Driver version; None for imagined GPUs and where there is no driver."""
    problem: str | None = None
    """Why there are none, or not all, for people."""
    hypothetical: bool = False
    """Imagined by `parse_spec`, not found on this host."""


class GpuReader(Protocol):
    """Reads this host's GPUs."""

    def read(self) -> Inventory:
        """Return what is there now; no driver: an empty inventory with a `problem`. Blocks."""
        ...


async def read_inventory(reader: GpuReader, *, timeout_s: float = 10.0) -> Inventory:
    """Read in a thread of its own: a driver that hangs must not hang the caller.

    A read that takes longer than ``timeout_s`` gives an empty inventory with its `problem`.
    """
    try:
        return await asyncio.wait_for(asyncio.to_thread(reader.read), timeout_s)
    except TimeoutError:
        return Inventory(
            problem=f"the NVIDIA driver did not answer within {timeout_s:g} s; see nvidia-smi"
        )


class Product(NamedTuple):
    """A GPU that a specification may name."""

    name: str
    compute_capability: tuple[int, int]
    memory_gib: float
    nvlink: bool


PRODUCTS: Mapping[str, Product] = {
    "H100-80G": Product("NVIDIA H100 80GB HBM3", (9, 0), 79.18, nvlink=True),  # measured
    "H100-94G": Product("NVIDIA H100 NVL", (9, 0), 93.1, nvlink=True),
    "H20-96G": Product("NVIDIA H20", (9, 0), 95.1, nvlink=True),
    "H200-141G": Product("NVIDIA H200", (9, 0), 139.81, nvlink=True),  # from a server's log
    "GH200-96G": Product("NVIDIA GH200 480GB", (9, 0), 94.5, nvlink=True),
    "B200-180G": Product("NVIDIA B200", (10, 0), 178.35, nvlink=True),  # from a server's log
    "GB200-186G": Product("NVIDIA GB200", (10, 0), 184.0, nvlink=True),
    "B300-288G": Product("NVIDIA B300", (10, 3), 267.0, nvlink=True),
    "GB300-288G": Product("NVIDIA GB300", (10, 3), 276.0, nvlink=True),
    "RTX-PRO-6000-96G": Product(
        "NVIDIA RTX PRO 6000 Blackwell Server Edition", (12, 0), 94.9, nvlink=False
    ),
    "RTX5090-32G": Product("NVIDIA GeForce RTX 5090", (12, 0), 31.3, nvlink=False),
    "L40S-48G": Product("NVIDIA L40S", (8, 9), 44.3, nvlink=False),
    "L4-24G": Product("NVIDIA L4", (8, 9), 22.0, nvlink=False),
    "RTX4090-24G": Product("NVIDIA GeForce RTX 4090", (8, 9), 23.5, nvlink=False),
    "A100-80G": Product("NVIDIA A100-SXM4-80GB", (8, 0), 79.2, nvlink=True),
    "A100-40G": Product("NVIDIA A100-SXM4-40GB", (8, 0), 39.4, nvlink=True),
    "A10G-24G": Product("NVIDIA A10G", (8, 6), 22.1, nvlink=False),
    "T4-16G": Product("Tesla T4", (7, 5), 14.6, nvlink=False),
}
"""GiB that CUDA sees; estimates from the products' data sheets unless a comment says otherwise.

Where one product has several sizes, the first is meant when no size is given.
"""

_TERM = re.compile(r"(?:(?P<count>\d+)\s*x\s*)?(?P<name>[a-z][a-z0-9 _-]*)", re.IGNORECASE)
_MAX_GPUS = 64


class BadGpuSpec(ValueError):  # noqa: N818 - names the condition
    """A specification such as ``2xH100-80G`` could not be understood."""


def parse_spec(spec: str) -> Inventory:
    """Imagine the GPUs of ``2xH100-80G``, ``8xB200`` or ``4xL40S,1xL4``.

    Raises:
        BadGpuSpec: names what is not understood and the known products.
    """
    gpus: list[Gpu] = []
    for number, term in enumerate(spec.split(",")):
        count, product = _parse_term(term.strip())
        for _ in range(count):
            index = len(gpus)
            gpus.append(_imagine(product, index, island=1000 + number))
    if len(gpus) > _MAX_GPUS:
        raise BadGpuSpec(f"{spec!r}: {len(gpus)} GPUs are more than one host has ({_MAX_GPUS})")
    return Inventory(gpus=tuple(gpus), hypothetical=True)


def _parse_term(term: str) -> tuple[int, Product]:
    match = _TERM.fullmatch(term)
    if match is None:
        raise BadGpuSpec(f"{term!r} is not COUNTxNAME, such as 2xH100-80G; {_known()}")
    count = int(match["count"] or 1)
    if not 1 <= count <= _MAX_GPUS:
        raise BadGpuSpec(f"{term!r}: the count must be 1 to {_MAX_GPUS}")
    wanted = re.sub(r"[ _]", "-", match["name"].strip()).upper().removesuffix("B")
    for key, product in PRODUCTS.items():
        if wanted in (key, key.rpartition("-")[0]):
            return count, product
    raise BadGpuSpec(f"no GPU is known as {match['name']!r}; {_known()}")


def _known() -> str:
    return f"known are {', '.join(PRODUCTS)}"


def _imagine(product: Product, index: int, *, island: int) -> Gpu:
    memory = int(product.memory_gib * GIB)
    return Gpu(
        uuid=f"GPU-hypothetical-{index}",
        name=product.name,
        compute_capability=product.compute_capability,
        memory_bytes=memory,
        free_bytes=memory,
        index=index,
        island=island if product.nvlink else index,
    )
