import json
import os
import subprocess
import sys

from gateway.handover import handed_on

NOTE = "TRTLLM_GATEWAY_HANDED_ON"
LEAVE = """
import os, signal, socket, sys
from gateway.handover import HandedOn, handed_on, leave, let_signals_in

before = handed_on(os.environ)
if before is None:
    with socket.create_server(("127.0.0.1", 0)) as admin, socket.create_server(
        ("127.0.0.1", 0)
    ) as data, open(sys.argv[1], "a+") as lock:
        print(os.getpid(), admin.getsockname()[1], data.getsockname()[1])
        command = [sys.executable, *sys.orig_argv[1:]]
        leave(HandedOn(lock, admin, [data]), command, os.environ, ending=True)
came = []
signal.signal(signal.SIGTERM, lambda *_: came.append("told to end"))
assert came == []
let_signals_in()
data, = before.data_sockets
print(os.getpid(), before.admin_socket.getsockname()[1], data.getsockname()[1])
print(data.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), before.lock.name >= 0, *came)
print([os.get_inheritable(each.fileno()) for each in (before.lock, before.admin_socket, data)])
"""


def test_a_program_finds_in_the_same_process_what_the_one_before_left(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LEAVE, str(tmp_path / "lock")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    before, after, state, inheritable = done.stdout.splitlines()
    assert after == before, "the process and its ports"
    assert state == "1 True told to end", "it listens on, and signals waited"
    assert inheritable == "[False, False, False]", "no child gets any of it by chance"


def test_a_first_start_finds_nothing():
    assert handed_on({}) is None


def test_what_another_process_left_is_not_taken_and_the_note_of_it_is_gone():
    note = json.dumps({"pid": os.getpid() + 1, "lock": 0, "admin": 1, "data": [2]})
    environ = {NOTE: note, "HOME": "/"}
    assert handed_on(environ) is None
    assert environ == {"HOME": "/"}
