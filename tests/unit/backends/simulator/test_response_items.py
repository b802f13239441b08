"""Whatever is said in whatever order, the items are opened, filled and closed in turn."""

import json
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from backends.simulator.outbox import Outbox
from backends.simulator.response_items import MESSAGE, REASONING, ItemStream

words = st.text(min_size=1, max_size=5)
steps = st.lists(
    st.tuples(st.sampled_from([MESSAGE, REASONING]), words, st.integers(0, 3))
    | st.tuples(st.just("call"), words, st.just(0)),
    max_size=12,
)


def play(steps, *, ids):
    outbox, numbers = Outbox(), count()
    items = ItemStream(outbox, lambda: str(next(numbers)), ids=ids)
    for kind, text, tokens in steps:
        if kind == "call":
            items.call("f", text)
        else:
            items.say(kind, text, tokens)
    items.close()
    return outbox.frames


def events_of(frames):
    read = []
    for frame in frames:
        name, data, *rest = frame.body.decode().split("\n")
        assert rest == ["", ""]
        value = json.loads(data.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        read.append(value)
    return read


@given(steps, st.booleans())
def test_events_are_numbered_and_their_keys_in_the_order_of_the_alphabet(steps, ids):
    events = events_of(play(steps, ids=ids))
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    assert all(list(e) == sorted(e) for e in events)


@given(steps)
def test_each_item_is_opened_once_filled_while_open_and_closed_with_all_its_text(steps):
    open_id, text, index = None, "", 0
    for event in events_of(play(steps, ids=True)):
        kind = event["type"].removeprefix("response.")
        assert event["output_index"] == index
        if kind == "output_item.added":
            assert open_id is None
            open_id, text = event["item"]["id"], ""
        elif kind == "output_item.done":
            assert event["item"]["id"] == open_id
            content = event["item"].get("content") or [{"text": ""}]
            assert content[0]["text"] == text
            open_id, index = None, index + 1
        else:
            assert event["item_id"] == open_id
            text += event.get("delta", "") if kind.endswith(".delta") else ""
    assert open_id is None


@given(steps)
def test_the_items_say_what_was_said_and_carry_its_tokens(steps):
    frames = play(steps, ids=False)
    events = events_of(frames)
    assert sum(frame.tokens for frame in frames) == sum(tokens for _, _, tokens in steps)
    said = "".join(text for kind, text, _ in steps if kind != "call")
    assert "".join(e["delta"] for e in events if "delta" in e) == said
    assert {e["item_id"] for e in events if "item_id" in e} <= {""}
