"""The environment of a replica: an allow-list of the gateway's own, with what it needs added.

The gateway's secrets must not reach a process that runs a checkpoint's code, and an MPI or
Slurm job around the gateway must not be taken by the replica for its own.
"""

import re
from collections.abc import Mapping

from backends.replica import ReplicaSpec

_ALLOWED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|TERM"
    r"|PYTHONPATH|PYTHONHOME|VIRTUAL_ENV|LD_LIBRARY_PATH|LD_PRELOAD"
    r"|HF_\w+|HUGGING_FACE_HUB_TOKEN|TRANSFORMERS_\w+|XDG_CACHE_HOME"
    r"|CUDA_\w+|NVIDIA_\w+|NCCL_\w+|UCX_\w+|OMPI_MCA_\w+"
    r"|TRTLLM_\w+|TLLM_\w+|TORCH\w+|PYTORCH_\w+|TRITON_\w+|FLASHINFER_\w+"
    r"|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE"
    r"|(?i:https?_proxy|no_proxy|all_proxy)"
)


def replica_environment(
    spec: ReplicaSpec, own: Mapping[str, str], *, tags: Mapping[str, str], root: bool
) -> dict[str, str]:
    """Return the whole environment of a replica.

    ``own`` is the gateway's; ``tags`` win over everything, no recipe can hide a replica.
    With no GPUs in ``spec``, a restriction that the gateway itself runs under is handed on.
    """
    environment = {name: value for name, value in own.items() if _ALLOWED.fullmatch(name)}
    environment["PYTHONUNBUFFERED"] = "1"
    if root:  # Open MPI refuses to start as root otherwise, and containers usually are
        environment["OMPI_ALLOW_RUN_AS_ROOT"] = environment[
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"
        ] = "1"
    environment |= spec.env
    if spec.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(spec.gpus)
    return environment | dict(tags)
