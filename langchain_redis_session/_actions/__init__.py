"""What a method does around Redis: hooks, observation, models."""
