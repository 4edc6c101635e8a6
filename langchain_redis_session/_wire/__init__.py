"""What leaves the process as JSON, through pydantic, and comes back: FastAPI, browsers, files."""
