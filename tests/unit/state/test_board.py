import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.silence import Waits
from gateway.state.board import Board, BoardFull, BoardMismatch
from gateway.state.liveness import is_alive


@pytest.fixture
def path(tmp_path):
    return tmp_path / "board"


@pytest.fixture
def board(path):
    board = Board.create(path, rows=4, columns=16)
    yield board
    board.close()


def test_load_is_the_sum_over_all_rows(board):
    first, second = board.claim_row(1, 10), board.claim_row(2, 20)
    first.add(3, +1)
    first.add(3, +1)
    second.add(3, +1)
    second.add(15, +1)
    assert board.load(3) == 3
    assert board.loads([3, 15, 0]) == [3, 1, 0]
    assert (first.count(3), second.count(3)) == (2, 1)


def test_a_released_row_is_cleared_and_free_again(board):
    rows = [board.claim_row(pid, 1) for pid in (1, 2, 3, 4)]
    rows[1].add(0, 5)
    with pytest.raises(BoardFull, match="all 4 rows"):
        board.claim_row(5, 1)
    board.release_row(rows[1])
    assert board.load(0) == 0
    assert board.claim_row(5, 1).index == 1


def test_the_owners_are_those_of_rows_in_use(board):
    rows = [board.claim_row(pid, 1) for pid in (7, 8, 9)]
    board.release_row(rows[1])
    assert board.owners() == [7, 9]


def test_only_rows_whose_owner_is_gone_are_cleared(board):
    mine, dead, reused = board.claim_row(1, 10), board.claim_row(2, 20), board.claim_row(3, 30)
    for row in (mine, dead, reused):
        row.add(7, 1)
    alive = {(1, 10), (3, 31)}  # pid 3 runs again, but is another process
    assert board.clear_dead_rows(lambda pid, ticks: (pid, ticks) in alive) == [2, 3]
    assert board.load(7) == 1
    assert board.clear_dead_rows(lambda pid, ticks: (pid, ticks) in alive) == []


def test_rows_in_use_shrink_when_the_last_ones_go(board):
    rows = [board.claim_row(pid, 1) for pid in (1, 2, 3)]
    board.release_row(rows[1])
    board.release_row(rows[2])
    rows[0].add(0, 2)
    assert board.loads([0]) == [2]
    assert board.claim_row(9, 9).index == 1


def test_columns_are_given_out_in_turn_and_never_while_in_use(board):
    row = board.claim_row(1, 1)
    assert [board.take_column(()) for _ in range(3)] == [0, 1, 2]
    row.add(3, 1)
    assert board.take_column({4}) == 5
    assert [board.take_column(()) for _ in range(10)] == list(range(6, 16))
    assert board.take_column({0, 1, 2}) == 4  # 3 has a request, so it waits


def test_a_board_without_a_free_column_says_so(board):
    with pytest.raises(BoardFull, match="all 16 columns"):
        board.take_column(set(range(16)))


def test_a_restarted_supervisor_takes_up_the_board_of_its_workers(board, path):
    row = board.claim_row(1, 1)
    row.add(2, 1)
    board.take_column(())
    again = Board.create(path, rows=4, columns=16)
    assert again.load(2) == 1
    assert again.take_column(()) == 1
    again.close()


def test_a_board_of_another_shape_is_replaced_and_the_old_pages_stay_valid(board, path):
    row = board.claim_row(1, 1)
    wider = Board.create(path, rows=4, columns=32)
    row.add(2, 1)
    assert (wider.columns, wider.load(2), board.load(2)) == (32, 0, 1)
    wider.close()


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"x" * 5000])
def test_a_file_that_is_no_board_is_refused_by_workers_and_replaced_by_the_supervisor(
    path, content
):
    path.write_bytes(content)
    with pytest.raises(BoardMismatch, match="no in-flight board"):
        Board.open(path)
    board = Board.create(path)
    assert (board.rows, board.columns) == (64, 1024)
    board.close()


def test_a_missing_board_is_not_made_by_a_worker(path):
    with pytest.raises(FileNotFoundError):
        Board.open(path)


deltas = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 15), st.sampled_from([1, -1])))


@given(deltas=deltas)
def test_loads_are_what_was_added(tmp_path_factory, deltas):
    board = Board.create(tmp_path_factory.mktemp("boards") / "board", rows=4, columns=16)
    rows = [board.claim_row(pid, pid) for pid in (1, 2, 3)]
    sums = [0] * 16
    for row, column, delta in deltas:
        rows[row].add(column, delta)
        sums[column] += delta
    assert board.loads(range(16)) == sums == [board.load(c) for c in range(16)]
    board.close()


WORKER = """
import os, sys
from pathlib import Path
from gateway.state.board import Board
from gateway.state.liveness import start_ticks

board = Board.open(Path(sys.argv[1]))
row = board.claim_row(os.getpid(), start_ticks(os.getpid()))
for _ in range(1000):
    row.add(5, 1)
    row.add(6, 1)
    row.add(6, -1)
print("ready", flush=True)
for line in sys.stdin:
    row.add(5, int(line))
    print("done", flush=True)
"""


@pytest.fixture
def workers(board, path):  # noqa: ARG001 - the board must be there before they open it
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for worker in started:
        assert worker.stdout.readline() == "ready\n"
    yield started
    for worker in started:
        worker.kill()
        worker.wait()
        worker.stdin.close()
        worker.stdout.close()


def test_every_process_sees_the_sum_of_all_and_a_killed_ones_share_is_cleared(board, workers):
    assert board.loads([5, 6]) == [3000, 0]
    workers[0].stdin.write("-400\n")
    workers[0].stdin.flush()
    assert workers[0].stdout.readline() == "done\n"
    assert board.load(5) == 2600
    workers[1].send_signal(signal.SIGKILL)
    workers[1].wait()
    assert board.clear_dead_rows(is_alive) == [workers[1].pid]
    assert board.load(5) == 1600


def test_silence_is_the_longest_wait_that_no_worker_hears_anything_in(board):
    first, second = board.claim_row(1, 10), board.claim_row(2, 20)
    assert (board.silence(3).since, board.silence(3).heard_at) == (None, 0.0)
    first.note(3, Waits(100.5), 0.0)
    assert board.silence(3).since == 100.5
    second.note(3, Waits(90.25), 80.0)
    assert board.silence(3).since == 90.25
    second.note(3, Waits(90.25), 120.75)
    assert board.silence(3).since == 120.75, "what another worker hears is progress"
    assert board.silence(2).since is board.silence(4).since is None
    second.note(3, None, 120.75)
    assert board.silence(3).waits_since == 100.5
    first.note(3, None, 0.0)
    assert (board.silence(3).since, board.silence(3).heard_at) == (None, 120.75)


@pytest.mark.parametrize(
    ("kinds", "explained"),
    [("w", True), ("ww", True), ("-w", True), ("-", False), ("b", False), ("wb", False)],
)
def test_silence_is_explained_where_answers_come_whole_and_no_stream_has_begun(
    board, kinds, explained
):
    for pid, kind in enumerate(kinds, 1):
        waits = Waits(5.0, whole=kind == "w", begun=kind == "b")
        board.claim_row(pid, 1).note(3, waits, 0.0)
    assert board.silence(3).explained is explained


def test_notes_and_counts_of_a_row_are_apart_and_cleared_with_it(board):
    kept, dead = board.claim_row(1, 1), board.claim_row(2, 2)
    for column in (0, 15):
        dead.add(column, 2)
        dead.note(column, Waits(5.0), 7.0)
        kept.note(column, Waits(6.0), 1.0)
    assert board.loads([0, 1, 15]) == [2, 0, 2]
    board.clear_dead_rows(lambda pid, _: pid == 1)
    assert board.loads([0, 15]) == [0, 0]
    for column in (0, 15):
        assert (board.silence(column).waits_since, board.silence(column).heard_at) == (6.0, 1.0)
