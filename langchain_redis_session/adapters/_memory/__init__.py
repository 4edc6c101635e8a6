"""What `RedisSessionMemoryStore` is made of: operations in a batch, filters, search by meaning."""
