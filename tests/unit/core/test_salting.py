import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.keys import digest_key
from gateway.core.salting import cache_salt
from gateway.core.snapshot import FleetSnapshot

PEPPER = bytes(range(32))


def salt(tenant, *, pepper=PEPPER, keys=()):
    keys = None if keys is None else dict(keys)
    return cache_salt(FleetSnapshot(version=1, keys=keys, key_pepper=pepper), tenant)


@given(one=st.text(), other=st.text())
def test_two_tenants_share_a_salt_only_if_they_are_one(one, other):
    encodable = [name.encode("utf-8", "replace").decode() for name in (one, other)]
    assert (salt(encodable[0]) == salt(encodable[1])) == (encodable[0] == encodable[1])


def test_a_salt_is_the_same_each_time_and_short():
    assert salt("a") == salt("a")
    assert re.fullmatch("[0-9a-f]{32}", salt("a"))


def test_a_salt_cannot_be_made_without_the_secret_nor_from_a_keys_digest():
    assert salt("a") != salt("a", pepper=PEPPER[::-1])
    assert not digest_key(b"a", PEPPER).startswith(salt("a"))


def test_nobody_is_kept_apart_without_keys_or_without_a_secret():
    assert salt("a", keys=None) is None
    assert salt("a", pepper=b"") is None
