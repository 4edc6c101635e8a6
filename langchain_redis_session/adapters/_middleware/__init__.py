"""The parts of `RedisSessionMiddleware`: which session, what is stored, what the model sees."""
