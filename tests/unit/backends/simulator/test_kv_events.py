from backends.simulator.block_hash import hash_block
from backends.simulator.kv_block import Block
from backends.simulator.kv_events import KvEventLog
from backends.simulator.stats import CreatedEvent, RemovedEvent, StoredBlock, StoredEvent


def chain(*numbers, salt=""):
    """A root and a chain of blocks, each full of one number."""
    blocks = [Block((), None, salt)]
    for number in numbers:
        blocks.append(Block((number,) * 32, blocks[-1]))
    return blocks[1:]


def test_the_first_event_tells_that_the_pool_was_made():
    assert KvEventLog(4, 99).drain() == (CreatedEvent(0, 99),)


def test_stored_blocks_come_with_their_chained_hashes_and_the_hash_before_them():
    log = KvEventLog(10, 9)
    first, second, third = chain(1, 2, 3)
    log.stored([first, second], "")
    log.stored([third], "")
    hashes = [hash_block((1,) * 32)]
    hashes.append(hash_block((2,) * 32, hashes[0]))
    hashes.append(hash_block((3,) * 32, hashes[1]))
    stored = (StoredBlock(hashes[0], (1,) * 32), StoredBlock(hashes[1], (2,) * 32))
    assert log.drain()[1:] == (
        StoredEvent(1, None, stored, ""),
        StoredEvent(2, hashes[1], (StoredBlock(hashes[2], (3,) * 32),), ""),
    )


def test_salted_blocks_have_other_hashes_and_name_their_salt():
    log = KvEventLog(10, 9)
    log.stored(chain(1, salt="s"), "s")
    (event,) = log.drain()[1:]
    assert event.salt == "s"
    assert event.parent_hash is None
    assert event.blocks[0].block_hash != hash_block((1,) * 32)


def test_evicted_blocks_are_named_by_their_hashes():
    log = KvEventLog(10, 9)
    log.removed(chain(1))
    assert log.drain()[1:] == (RemovedEvent(1, (hash_block((1,) * 32),)),)


def test_a_drained_event_is_gone_and_ids_go_on():
    log = KvEventLog(10, 9)
    log.drain()
    assert log.drain() == ()
    log.removed(chain(1))
    assert [event.event_id for event in log.drain()] == [1]


def test_of_too_many_events_the_newest_stay_so_that_the_gap_shows():
    log = KvEventLog(2, 9)
    for number in range(4):
        log.removed(chain(number))
    assert [event.event_id for event in log.drain()] == [3, 4]


def test_a_log_of_size_0_keeps_nothing_and_computes_no_hash():
    log = KvEventLog(0, 9)
    (block,) = chain(1)
    log.stored([block], "")
    log.removed([block])
    assert log.drain() == ()
    assert block.known_hash is None


def test_the_hash_of_a_very_long_prompt_needs_no_deep_stack():
    last = chain(*range(5000))[-1]
    assert last.hash == last.hash > 0
