"""The Lua scripts that write and read, each with one typed function that calls it."""
