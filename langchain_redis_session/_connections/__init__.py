"""The clients of a service, by where they come from."""
