"""The store forgets what was not used for longest, and nothing else."""

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from backends.simulator.response_store import ResponseStore, Stored

ids = st.sampled_from("abcde")
uses = st.lists(st.tuples(st.sampled_from(["keep", "get", "delete"]), ids), max_size=30)


@given(uses, st.integers(1, 4))
def test_it_behaves_like_a_list_of_the_last_used(uses, capacity):
    store, model = ResponseStore(capacity=capacity), OrderedDict()
    for use, name in uses:
        if use == "keep":
            stored = Stored(name.encode(), ())
            store.keep(name, stored)
            model[name] = stored
            if len(model) > capacity:
                model.popitem(last=False)
        elif use == "get":
            assert store.get(name) == model.get(name)
            if name in model:
                model.move_to_end(name)
        else:
            assert store.delete(name) is (model.pop(name, None) is not None)


def test_to_fetch_a_reply_is_to_use_it():
    store = ResponseStore(capacity=2)
    for name in "ab":
        store.keep(name, Stored(name.encode(), ()))
    assert store.get("a") is not None
    store.keep("c", Stored(b"c", ()))
    assert [name for name in "abc" if store.get(name)] == ["a", "c"]
