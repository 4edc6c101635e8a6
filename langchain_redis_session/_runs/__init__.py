"""What a run track holds: its recorder, its outbox, its values."""
