"""The commands of ``trtllm-gateway``, one module for each group of them."""
