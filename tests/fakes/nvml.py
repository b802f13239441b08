"""A driver in place of NVML: install it over `pynvml`, whose real exceptions it raises."""
# ruff: noqa: N802 - the names are NVML's own

from dataclasses import dataclass, field
from types import SimpleNamespace

import pynvml


@dataclass
class FakeGpu:
    uuid: str = "GPU-0"
    name: str = "NVIDIA H100 80GB HBM3"
    compute_capability: tuple[int, int] = (9, 0)
    total: int = 85_520_809_984
    reserved: int = 503_316_480
    used: int = 0
    slices: list["FakeGpu"] = field(default_factory=list)
    fails: dict[str, Exception] = field(default_factory=dict)
    """Call -> what it raises."""


@dataclass
class FakeDriver:
    """Answers for ``gpus``; ``links`` are pairs of indices joined by NVLink."""

    gpus: list[FakeGpu] = field(default_factory=list)
    links: set[frozenset[int]] = field(default_factory=set)
    version: str = "580.65.06"
    fails: dict[str, Exception] = field(default_factory=dict)
    open: int = 0

    def install(self, monkeypatch):
        for name in dir(self):
            if name.startswith("nvml"):
                monkeypatch.setattr(pynvml, name, getattr(self, name))

    def _check(self, name, gpu=None):
        for failures in (self.fails, gpu.fails if gpu else {}):
            if name in failures:
                raise failures[name]

    def nvmlInit(self):
        self._check("nvmlInit")
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1
        self._check("nvmlShutdown")

    def nvmlSystemGetDriverVersion(self):
        self._check("nvmlSystemGetDriverVersion")
        return self.version

    def nvmlDeviceGetCount(self):
        self._check("nvmlDeviceGetCount")
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, gpu):
        self._check("nvmlDeviceGetUUID", gpu)
        return gpu.uuid

    def nvmlDeviceGetName(self, gpu):
        self._check("nvmlDeviceGetName", gpu)
        return gpu.name

    def nvmlDeviceGetCudaComputeCapability(self, gpu):
        self._check("nvmlDeviceGetCudaComputeCapability", gpu)
        return gpu.compute_capability

    def nvmlDeviceGetMemoryInfo(self, gpu, version=None):
        self._check("nvmlDeviceGetMemoryInfo", gpu)
        free = gpu.total - gpu.reserved - gpu.used
        if version is None:
            return SimpleNamespace(total=gpu.total, free=free, used=gpu.reserved + gpu.used)
        self._check("nvmlDeviceGetMemoryInfo_v2", gpu)
        return SimpleNamespace(total=gpu.total, reserved=gpu.reserved, free=free, used=gpu.used)

    def nvmlDeviceGetMigMode(self, gpu):
        self._check("nvmlDeviceGetMigMode", gpu)
        return [int(bool(gpu.slices)), int(bool(gpu.slices))]

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu):
        self._check("nvmlDeviceGetMaxMigDeviceCount", gpu)
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu, index):
        if index >= len(gpu.slices):
            raise pynvml.NVMLError_NotFound
        return gpu.slices[index]

    def nvmlDeviceGetP2PStatus(self, a, b, _index):
        self._check("nvmlDeviceGetP2PStatus", a)
        pair = frozenset({self.gpus.index(a), self.gpus.index(b)})
        return pynvml.NVML_P2P_STATUS_OK if pair in self.links else 1
