import threading

import pytest

from backends.gpus import PRODUCTS, BadGpuSpec, Gpu, Inventory, parse_spec, read_inventory


@pytest.mark.parametrize(
    ("spec", "name", "count", "sm"),
    [
        ("2xH100-80G", "NVIDIA H100 80GB HBM3", 2, 90),
        ("8xB200", "NVIDIA B200", 8, 100),
        ("1xL4", "NVIDIA L4", 1, 89),
        ("h200", "NVIDIA H200", 1, 90),
        ("4 x L40S", "NVIDIA L40S", 4, 89),
        ("1xA100", "NVIDIA A100-SXM4-80GB", 1, 80),
        ("1xA100-40GB", "NVIDIA A100-SXM4-40GB", 1, 80),
        ("1xRTX PRO 6000", "NVIDIA RTX PRO 6000 Blackwell Server Edition", 1, 120),
        ("1xB300", "NVIDIA B300", 1, 103),
    ],
)
def test_a_specification_is_imagined(spec, name, count, sm):
    inventory = parse_spec(spec)
    assert inventory.hypothetical
    assert [gpu.name for gpu in inventory.gpus] == [name] * count
    assert inventory.gpus[0].sm == sm
    assert inventory.gpus[0].used_bytes == 0


def test_several_kinds_have_indices_and_islands_of_their_own():
    gpus = parse_spec("2xH100,2xL4,2xH200").gpus
    assert [gpu.index for gpu in gpus] == list(range(6))
    assert len({gpu.uuid for gpu in gpus}) == 6
    a, b, c, d, e, f = (gpu.island for gpu in gpus)
    assert a == b
    assert e == f
    assert len({a, c, d, e}) == 4


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_known_product_can_be_named(name):
    [gpu] = parse_spec(f"1x{name}").gpus
    assert gpu.name == PRODUCTS[name].name


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "is not COUNTxNAME"),
        ("2x", "is not COUNTxNAME"),
        ("H100,,", "is not COUNTxNAME"),
        ("0xH100", "the count must be"),
        ("65xH100", "the count must be"),
        ("40xH100,40xL4", "more than one host"),
        ("1xH900", "known are H100-80G"),
        ("1xH100-40G", "no GPU is known"),
        ("1xH", "no GPU is known"),
    ],
)
def test_a_specification_that_is_not_understood_says_why(spec, words):
    with pytest.raises(BadGpuSpec, match=words):
        parse_spec(spec)


class Stuck:
    def __init__(self):
        self.release = threading.Event()

    def read(self):
        self.release.wait(60)
        return Inventory()


class Ready:
    def read(self):
        return Inventory((Gpu("GPU-0", "x", (9, 0), 10, 10),), "580")


@pytest.mark.anyio
async def test_reading_waits_no_longer_than_asked():
    reader = Stuck()
    try:
        inventory = await read_inventory(reader, timeout_s=0.01)
    finally:
        reader.release.set()
    assert "did not answer within 0.01 s" in inventory.problem


@pytest.mark.anyio
async def test_reading_gives_what_there_is():
    assert (await read_inventory(Ready())).driver == "580"
