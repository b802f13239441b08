"""The examples under each command's help."""


def examples(*commands: str) -> str:
    """Return an epilogue of command lines, marked so that click does not fold it."""
    title = "Example:" if len(commands) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  trtllm-gateway {command}" for command in commands)])
