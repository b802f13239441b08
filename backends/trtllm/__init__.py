"""How to speak to a real trtllm-serve: its command line, its routes, its load figures."""
