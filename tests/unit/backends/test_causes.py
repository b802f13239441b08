import signal

import pytest

from backends.causes import classify, stopped
from backends.launcher import Remedy

LINES = [
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB.", "gpu_oom"),
    ("RuntimeError: Arch unsupported for CUTLASS FP4 GEMM", "precision_unsupported"),
    ("FP4 Gemm not supported before Blackwell, nor GeForce Blackwell", "precision_unsupported"),
    ("WFP4A16 MoE is unsupported on SM89", "precision_unsupported"),
    ("Cannot access gated repo for url https://hub/x.", "model_access"),
    ("401 Client Error: Unauthorized for url", "model_access"),
    ("  Extra inputs are not permitted [type=extra_forbidden]", "bad_config"),
    ("Error: No such option: --max_batch_sise", "bad_config"),
    ("RuntimeError: Failed to bind socket to 127.0.0.1:21000: in use", "port_taken"),
    ("OSError: [Errno 98] Address already in use", "port_taken"),
    ("ValueError: No GPU devices found on the node", "no_gpu"),
    ("CUDA driver version is insufficient for CUDA runtime version", "no_gpu"),
    ("Error while creating shared memory segment /dev/shm/nccl-Xy (size 9637888)", "shm_full"),
    ("OSError: [Errno 28] No space left on device", "disk_full"),
    ("Executor loop crashed on this rank; hard-killing all", "engine_crash"),
    ("CUDA error: an illegal memory access was encountered", "engine_crash"),
]


@pytest.mark.parametrize(("line", "cause"), LINES)
def test_a_known_line_in_the_log_is_the_cause(line, cause):
    end = classify(["started", line, "Traceback (most recent call last):"], 1)
    assert (end.cause, end.code) == (cause, 1)


def test_what_may_pass_is_tried_again_and_what_cannot_is_not():
    assert classify(["Address already in use"], 1).remedy is Remedy.RETRY
    assert classify(["No such option: --x"], 2).remedy is Remedy.PERMANENT


def test_a_full_dev_shm_is_not_taken_for_a_full_disk():
    line = "/dev/shm/nccl-x: No space left on device"  # noqa: S108 - a line of NCCL's
    assert classify([line], 1).cause == "shm_full"


def test_a_cause_far_back_in_the_log_is_no_cause():
    assert (
        classify(["CUDA out of memory. Tried to allocate"] + ["x"] * 400, 1).cause == "exited"
    )


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (-signal.SIGKILL, "killed"),
        (137, "killed"),
        (134, "aborted"),
        (-signal.SIGSEGV, "segfault"),
        (0, "exited"),
        (3, "exited"),
        (-signal.SIGUSR1, "exited"),
        (None, "unknown"),
    ],
)
def test_without_a_known_line_the_exit_code_speaks(code, cause):
    end = classify(["all is well"], code)
    assert (end.cause, end.remedy) == (cause, Remedy.RETRY)


def test_what_was_told_to_end_has_stopped_whatever_its_code():
    assert stopped(134).cause == "stopped"
