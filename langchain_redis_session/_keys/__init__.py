"""The names of all keys in Redis."""
