"""Chat servers with memory, each in one file: FastAPI, and LangServe."""
