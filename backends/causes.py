"""Why a replica ended, read from its last log lines and its exit code.

The table is tried from the top, so what is certain and helpful stands before what is vague.
Wording drifts between releases: an unknown line costs only the sentence, never the restart.
"""

import re
import signal
from collections.abc import Sequence
from typing import NamedTuple

from backends.launcher import Exit, Remedy

LOG_LINES = 400
"""How far back from the end the cause is looked for."""


class Cause(NamedTuple):
    """A kind of failure, and how a log shows it."""

    name: str
    pattern: re.Pattern[str]
    message: str
    remedy: Remedy


def _cause(name: str, remedy: Remedy, message: str, *patterns: str) -> Cause:
    return Cause(name, re.compile("|".join(patterns)), message, remedy)


CAUSES = (
    _cause(
        "gpu_oom",
        Remedy.PERMANENT,
        "the GPU memory did not suffice: lower max_batch_size, max_seq_len or"
        " kv_cache_free_gpu_memory_fraction (to 0.8), use more GPUs, or stop what runs there",
        r"CUDA out of memory\. Tried to allocate",
        r"torch\.OutOfMemoryError",
    ),
    _cause(
        "precision_unsupported",
        Remedy.PERMANENT,
        "this GPU cannot run the checkpoint's precision:"
        " NVFP4 needs Blackwell, FP8 needs Hopper or Ada",
        r"Arch unsupported for CUTLASS FP4 GEMM",
        r"FP4 Gemm not supported before Blackwell",
        r"WFP4A16 MoE is unsupported on SM\d+",
    ),
    _cause(
        "model_access",
        Remedy.PERMANENT,
        "the checkpoint may not be downloaded: accept its licence on Hugging Face,"
        " set HF_TOKEN, and check its name",
        r"Cannot access gated repo for url",
        r"Repository Not Found for url",
        r"GatedRepoError",
        r"401 Client Error",
    ),
    _cause(
        "bad_config",
        Remedy.PERMANENT,
        "this release of trtllm-serve does not know one of the options: see the log, and"
        " compare the plan's release with the one installed",
        r"Extra inputs are not permitted",
        r"No such option",
    ),
    _cause(
        "port_taken",
        Remedy.RETRY,
        "another program took the port first; the next start uses another one",
        r"Failed to bind socket",
        r"(?i:address already in use)",
    ),
    _cause(
        "no_gpu",
        Remedy.PERMANENT,
        "no usable GPU: check nvidia-smi and the driver's version",
        r"No GPU devices found on the node",
        r"driver version is insufficient",
    ),
    _cause(
        "shm_full",
        Remedy.PERMANENT,
        "/dev/shm is too small: enlarge it (in a container, --ipc=host)",  # noqa: S108 - named only
        r"/dev/shm/nccl-",  # noqa: S108 - as NCCL writes it
    ),
    _cause(
        "disk_full",
        Remedy.PERMANENT,
        "the disk is full: free space where the checkpoints are kept (HF_HOME)",
        r"No space left on device",
    ),
    _cause(
        "engine_crash",
        Remedy.RETRY,
        "the engine crashed: see the log; if it repeats on one GPU, take that GPU out",
        r"Executor loop crashed on this rank; hard-killing all",
        r"NCCL error",
        r"illegal memory access",
    ),
)
"""In the order in which they are tried."""

_SIGNALS = {
    signal.SIGKILL: (
        "killed",
        "it was killed, perhaps by the kernel for lack of memory: see dmesg",
    ),
    signal.SIGABRT: ("aborted", "it aborted itself: see the end of its log"),
    signal.SIGSEGV: ("segfault", "it crashed on a memory access: see the end of its log"),
}
_SHELL_OFFSET = 128  # exit codes of shells and MPI launchers for a child that a signal ended


def classify(lines: Sequence[str], code: int | None) -> Exit:
    """Say why a replica ended by itself."""
    text = "\n".join(lines[-LOG_LINES:])
    for cause in CAUSES:
        if cause.pattern.search(text):
            return Exit(code, cause.name, cause.message, cause.remedy)
    if code is None:
        return Exit(
            None, "unknown", "it ended while no gateway watched, and its log says no cause"
        )
    if code == 0:
        return Exit(0, "exited", "it ended by itself without an error")
    number = -code if code < 0 else code - _SHELL_OFFSET
    for known, (name, message) in _SIGNALS.items():
        if number == known:
            return Exit(code, name, message)
    return Exit(code, "exited", f"it ended with exit code {code}: see the end of its log")


def stopped(code: int | None) -> Exit:
    """Return the end of a replica that was told to end: any code is well then."""
    return Exit(code, "stopped", "it was stopped")
