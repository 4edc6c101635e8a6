"""Demos of langchain-redis-session."""
