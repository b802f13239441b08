"""``python -m backends.simulator``: the command ``sim`` alone."""

from backends.simulator.command import sim

if __name__ == "__main__":
    sim(prog_name="sim")
