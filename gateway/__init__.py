"""What to do with a client's request: route it, relay the answer, measure both, run the fleet."""
