"""docs/api.md tells of every endpoint and every error code that there is, and of no other."""

import re

import pytest

from gateway.core import errors
from gateway.core.errors import GatewayError
from gateway.core.operation import OPERATIONS
from tests.repo import tracked

PAGE = (tracked.ROOT / "docs" / "api.md").read_text()
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, GatewayError)
]
ROW = re.compile(r"^\| (\d{3}) \| (.+?) \|", re.MULTILINE)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_endpoint_is_told_of(operation):
    assert f"`{operation.method} {operation.path}`" in PAGE


def test_no_endpoint_is_told_of_that_there_is_not():
    inference = {f"{operation.method} {operation.path}" for operation in OPERATIONS}
    own = {
        f"GET {path}"
        for path in ("/v1/models", "/v1/models/{name}", "/health", "/live", "/ready")
    }
    told = re.findall(r"`((?:GET|POST|DELETE) /[^`?]*)", PAGE)
    assert set(told) - inference - own == set()


def test_every_code_is_told_of_with_its_status():
    told = {
        (int(status), code)
        for status, codes in ROW.findall(PAGE)
        for code in re.findall(r"`(\w+)`", codes)
    }
    assert told == {(kind.status, kind.code) for kind in KINDS}
