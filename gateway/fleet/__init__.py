"""The fleet: what should run, what runs, and the steps between."""
