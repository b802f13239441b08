import pynvml
import pytest

from backends.nvml import NvmlReader
from tests.fakes.nvml import FakeDriver, FakeGpu


def read(monkeypatch, driver):
    driver.install(monkeypatch)
    inventory = NvmlReader().read()
    assert driver.open == 0
    return inventory


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (pynvml.NVMLError_LibraryNotFound, "no NVIDIA driver is installed"),
        (pynvml.NVMLError_DriverNotLoaded, "not loaded"),
        (pynvml.NVMLError_LibRmVersionMismatch, "reboot"),
        (pynvml.NVMLError_NoPermission, "may not use"),
        (pynvml.NVMLError_Unknown, "answers with an error"),
    ],
)
def test_a_driver_that_cannot_be_used_is_an_empty_inventory_with_its_problem(
    monkeypatch, error, words
):
    inventory = read(monkeypatch, FakeDriver(fails={"nvmlInit": error()}))
    assert inventory.gpus == ()
    assert words in inventory.problem


def test_an_error_half_way_is_an_empty_inventory_with_its_problem(monkeypatch):
    driver = FakeDriver(fails={"nvmlDeviceGetCount": pynvml.NVMLError_Unknown()})
    assert "answers with an error" in read(monkeypatch, driver).problem


def test_a_driver_that_sees_no_gpu_says_so(monkeypatch):
    inventory = read(monkeypatch, FakeDriver())
    assert (inventory.gpus, inventory.driver) == ((), "580.65.06")
    assert "sees no GPU" in inventory.problem


def test_memory_is_what_cuda_sees(monkeypatch):
    [gpu] = read(monkeypatch, FakeDriver([FakeGpu(used=10**9)])).gpus
    assert gpu.memory_bytes == 85_520_809_984 - 503_316_480
    assert round(gpu.memory_bytes / 2**30, 2) == 79.18
    assert gpu.used_bytes == 10**9
    assert (gpu.sm, gpu.mig, gpu.problem) == (90, False, None)


def test_an_older_driver_counts_reserved_memory_as_used(monkeypatch):
    old = FakeGpu(fails={"nvmlDeviceGetMemoryInfo_v2": pynvml.NVMLError_FunctionNotFound()})
    [gpu] = read(monkeypatch, FakeDriver([old])).gpus
    assert gpu.used_bytes == old.reserved


def test_a_gpu_without_memory_of_its_own_has_the_hosts(monkeypatch):
    unified = FakeGpu(fails={"nvmlDeviceGetMemoryInfo": pynvml.NVMLError_NotSupported()})
    [gpu] = read(monkeypatch, FakeDriver([unified])).gpus
    assert gpu.shared_memory
    assert 0 < gpu.free_bytes <= gpu.memory_bytes


def test_a_lost_gpu_stays_in_the_inventory_with_its_problem(monkeypatch):
    lost = FakeGpu(
        uuid="GPU-lost",
        fails={
            "nvmlDeviceGetMemoryInfo": pynvml.NVMLError_GpuIsLost(),
            "nvmlDeviceGetName": pynvml.NVMLError_GpuIsLost(),
            "nvmlDeviceGetP2PStatus": pynvml.NVMLError_GpuIsLost(),
        },
    )
    broken, well = read(monkeypatch, FakeDriver([lost, FakeGpu(uuid="GPU-1")])).gpus
    assert (broken.uuid, broken.name) == ("GPU-lost", "unknown")
    assert "GPU is lost" in broken.problem
    assert well.problem is None


def test_gpus_joined_by_nvlink_share_an_island(monkeypatch):
    gpus = [FakeGpu(uuid=f"GPU-{n}") for n in range(5)]
    links = {frozenset({0, 1}), frozenset({3, 4}), frozenset({1, 4})}
    islands = [gpu.island for gpu in read(monkeypatch, FakeDriver(gpus, links)).gpus]
    assert islands == [0, 0, 2, 0, 0]


def test_a_host_that_cannot_tell_links_has_none(monkeypatch):
    fails = {"nvmlDeviceGetP2PStatus": pynvml.NVMLError_NotSupported()}
    gpus = [FakeGpu(uuid=f"GPU-{n}", fails=fails) for n in range(2)]
    assert [gpu.island for gpu in read(monkeypatch, FakeDriver(gpus)).gpus] == [0, 1]


def test_mig_slices_stand_in_place_of_their_gpu(monkeypatch):
    slices = [FakeGpu(uuid=f"MIG-{n}", total=20 * 2**30, reserved=0) for n in range(2)]
    parent = FakeGpu(uuid="GPU-0", slices=slices)
    found = read(monkeypatch, FakeDriver([parent, FakeGpu(uuid="GPU-1")])).gpus
    assert [(gpu.uuid, gpu.mig) for gpu in found] == [
        ("MIG-0", True),
        ("MIG-1", True),
        ("GPU-1", False),
    ]
    assert found[0].memory_bytes == 20 * 2**30


def test_what_a_driver_does_not_support_costs_that_field_only(monkeypatch):
    fails = {"nvmlDeviceGetMigMode": pynvml.NVMLError_NotSupported()}
    driver = FakeDriver(
        [FakeGpu(fails=fails)],
        fails={
            "nvmlSystemGetDriverVersion": pynvml.NVMLError_FunctionNotFound(),
            "nvmlShutdown": pynvml.NVMLError_Uninitialized(),
        },
    )
    inventory = read(monkeypatch, driver)
    assert inventory.driver is None
    assert len(inventory.gpus) == 1
