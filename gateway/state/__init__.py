"""State that outlives a request: the store, the shared board, the bus to the workers."""
