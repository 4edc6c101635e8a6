"""LangChain messages, events, records and state values, to the bytes in Redis and back."""
