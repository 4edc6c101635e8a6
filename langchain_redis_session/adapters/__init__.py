"""One file for each surface of LangChain that a session can be."""
