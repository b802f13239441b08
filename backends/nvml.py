"""Read this host's GPUs through NVML, the driver's own library.

Every call may fail by itself: what a driver does not support costs that one field, never the
inventory.
"""

from collections.abc import Callable
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import pynvml  # type: ignore[import-untyped]  # the binding ships no types

from backends.gpus import Gpu, Inventory

T = TypeVar("T")

_NO_FIELD = (
    pynvml.NVMLError_NotSupported,
    pynvml.NVMLError_FunctionNotFound,
    pynvml.NVMLError_NoPermission,
)
_REASONS: dict[type[Exception], str] = {
    pynvml.NVMLError_LibraryNotFound: (
        "no NVIDIA driver is installed (libnvidia-ml.so.1 was not found)"
    ),
    pynvml.NVMLError_DriverNotLoaded: (
        "the NVIDIA driver is installed but not loaded; run nvidia-smi to see why"
    ),
    pynvml.NVMLError_LibRmVersionMismatch: (
        "the NVIDIA driver was updated and the old one is still loaded; reboot or reload it"
    ),
    pynvml.NVMLError_NoPermission: (
        "this user may not use the NVIDIA driver; check /dev/nvidia*"
    ),
}


class NvmlReader:
    """Reads the GPUs of this host; safe to call from any thread."""

    def read(self) -> Inventory:
        """Return the GPUs and MIG slices, in PCI order."""
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            return Inventory(problem=_reason(error))
        try:
            return _inventory()
        except pynvml.NVMLError as error:
            return Inventory(problem=_reason(error))
        finally:
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()


def _reason(error: pynvml.NVMLError) -> str:
    return _REASONS.get(type(error), f"the NVIDIA driver answers with an error: {error}")


def _inventory() -> Inventory:
    handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    islands = _islands(handles)
    gpus: list[Gpu] = []
    for index, handle in enumerate(handles):
        slices = _slices(handle)
        if slices:
            gpus.extend(_gpu(part, index, index, parent=handle) for part in slices)
        else:
            gpus.append(_gpu(handle, index, islands[index]))
    problem = None if gpus else "the NVIDIA driver is loaded and sees no GPU"
    return Inventory(tuple(gpus), _optional(pynvml.nvmlSystemGetDriverVersion), problem)


def _optional(call: Callable[..., T], *args: object) -> T | None:
    try:
        return call(*args)
    except _NO_FIELD:
        return None


def _gpu(handle: object, index: int, island: int, parent: object = None) -> Gpu:
    """Describe a GPU; a MIG slice has its memory of its own and the chip of its ``parent``."""
    chip = handle if parent is None else parent
    try:
        memory = _memory(handle)
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(chip)
        return Gpu(
            uuid=pynvml.nvmlDeviceGetUUID(handle),
            name=pynvml.nvmlDeviceGetName(handle),
            compute_capability=(major, minor),
            memory_bytes=memory[0],
            free_bytes=memory[1],
            index=index,
            island=island,
            mig=parent is not None,
            shared_memory=memory[2],
        )
    except pynvml.NVMLError as error:
        return Gpu(
            uuid=_text(pynvml.nvmlDeviceGetUUID, handle, f"unknown-{index}"),
            name=_text(pynvml.nvmlDeviceGetName, handle, "unknown"),
            compute_capability=(0, 0),
            memory_bytes=0,
            free_bytes=0,
            index=index,
            island=island,
            problem=f"{error}; see nvidia-smi and the kernel's log",
        )


def _text(call: Callable[[object], str], handle: object, otherwise: str) -> str:
    try:
        return call(handle)
    except pynvml.NVMLError:
        return otherwise


def _memory(handle: object) -> tuple[int, int, bool]:
    """Return allocatable bytes, free bytes, and whether they are the host's own memory."""
    try:
        info = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
    except pynvml.NVMLError_FunctionNotFound:  # a driver before 510: reserved counts as used
        info = pynvml.nvmlDeviceGetMemoryInfo(handle)
    except pynvml.NVMLError_NotSupported:
        total, free = _host_memory()
        return total, free, True
    return info.total - getattr(info, "reserved", 0), info.free, False


def _host_memory() -> tuple[int, int]:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return sizes["MemTotal"], sizes["MemAvailable"]


def _slices(handle: object) -> list[object]:
    mode = _optional(pynvml.nvmlDeviceGetMigMode, handle)
    if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
        return []
    slices = []
    for number in range(_optional(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        try:
            slices.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number))
        except pynvml.NVMLError_NotFound:  # a place that holds no slice
            continue
    return slices


def _islands(handles: list[object]) -> list[int]:
    """Number each GPU's island: the lowest index that NVLink leads to."""
    islands = list(range(len(handles)))
    for a, b in combinations(range(len(handles)), 2):
        if _linked(handles[a], handles[b]):
            old, new = max(islands[a], islands[b]), min(islands[a], islands[b])
            islands = [new if island == old else island for island in islands]
    return islands


def _linked(a: object, b: object) -> bool:
    try:
        status = pynvml.nvmlDeviceGetP2PStatus(a, b, pynvml.NVML_P2P_CAPS_INDEX_NVLINK)
    except pynvml.NVMLError:  # a lost GPU too: it is reported where it is described
        return False
    return bool(status == pynvml.NVML_P2P_STATUS_OK)
