"""The request path, from the client's socket to the replica's and back."""
