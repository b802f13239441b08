#!/usr/bin/env python3
"""A stand-in for the ``trtllm-serve`` binary: its start lines, its health, its ways to end.

Standard library only, so that it starts fast. The environment says how it behaves:

    FAKE_FAIL         write this line to the log and end with code 1
    FAKE_EXIT         end with this code after the start
    FAKE_IGNORE_TERM  do not end on SIGTERM
    FAKE_RANKS        start this many ranks as MPI does: orted in a session of its own,
                      each rank in a process group of its own
    FAKE_STUBBORN     ranks ignore SIGTERM too
"""

import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Routes(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def orted():
    if os.environ.get("FAKE_STUBBORN"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for _ in range(int(os.environ["FAKE_RANKS"])):
        if os.fork() == 0:
            os.setpgid(0, 0)
            break
    while True:
        time.sleep(3600)


def option(name):
    return sys.argv[sys.argv.index(name) + 1]


def serve():
    if fail := os.environ.get("FAKE_FAIL"):
        say("[11/24/2026-10:00:00] [TRT-LLM] [I] Starting TensorRT-LLM")
        say(fail)
        sys.exit(1)
    if os.environ.get("FAKE_IGNORE_TERM"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if os.environ.get("FAKE_RANKS"):
        subprocess.Popen([sys.executable, __file__, "orted"], start_new_session=True)
    host, port = option("--host"), int(option("--port"))
    say("Loading weights: 100%|██████████| 1408/1408 [00:01<00:00]\r")
    server = ThreadingHTTPServer((host, port), Routes)
    say(f"INFO:     Started server process [{os.getpid()}]")
    say("INFO:     Application startup complete.")
    say(f"INFO:     Uvicorn running on http://{host}:{port} (Press CTRL+C to quit)")
    say(f"visible devices: {os.environ.get('CUDA_VISIBLE_DEVICES')}")
    if code := os.environ.get("FAKE_EXIT"):
        os._exit(int(code))
    server.serve_forever()


if __name__ == "__main__":
    orted() if sys.argv[1:2] == ["orted"] else serve()
