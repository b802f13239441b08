"""What to do with a client's request.

Route it, relay the answer, measure both, run the fleet.
"""
