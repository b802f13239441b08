"""What one simulated server was started with."""

from dataclasses import dataclass
from pathlib import Path

from backends.simulator.dialects import Dialect

GENERATE = "generate"
EMBEDDINGS = "embeddings"
TASKS = (GENERATE, EMBEDDINGS)
"""What a server is for: the first is ``trtllm-serve serve``, the second its sub-command."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The options that the wire side needs; those of the engine went into the engine."""

    model: str
    """The MODEL argument as given: a name, or a directory."""
    dialect: Dialect
    max_seq_len: int
    max_num_tokens: int
    max_batch_size: int
    served_model_name: str | None = None
    reasoning_parser: bool = False
    tool_parser: bool = False
    guided_decoding: bool = False
    chunked_prefill: bool = False
    iter_perf_stats: bool = False
    iter_stats_max_iterations: int = 1000
    return_perf_metrics: bool = False
    perf_metrics_max_requests: int = 0
    chat_template_in_request: bool = False
    task: str = GENERATE
    """Which routes there are."""
    max_queue_size: int = 2048
    """Inputs of ``/v1/embeddings`` that may wait."""
    seed: int = 0

    @property
    def harmony(self) -> bool:
        """Say whether the model is gpt-oss, which always thinks first."""
        return "gpt-oss" in self.own_name.lower()

    @property
    def own_name(self) -> str:
        """Return the model's id on ``/v1/models``: of a directory only the last part."""
        if self.served_model_name is not None:
            return self.served_model_name
        path = Path(self.model)
        return path.name if path.is_dir() else self.model
