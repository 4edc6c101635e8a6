"""What `with_session` does around a run."""
