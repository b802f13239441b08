"""``python -m tests.fuzz.under_atheris TARGET FOLDER [flags of libFuzzer]``: fuzz by coverage.

A program of its own: libFuzzer takes the process over and ends it. Only the gateway's own
modules are instrumented, as they are imported: what leads to new branches there is kept.
"""

import sys

import atheris

with atheris.instrument_imports(include=["gateway.core", "gateway.dataplane"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz the target that is named first."""
    program, name, *rest = sys.argv
    atheris.Setup([program, *rest], TARGETS[name].one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
