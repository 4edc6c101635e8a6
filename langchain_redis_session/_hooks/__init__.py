"""Which hooks handlers have, and their calls in the right order."""
