"""A stand-in for trtllm-serve that keeps to its wire contract, faults included."""
