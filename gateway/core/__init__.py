"""Decisions: pure functions and values; no I/O, no clock, no async, no logging."""
