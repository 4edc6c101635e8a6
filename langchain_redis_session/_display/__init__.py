"""What Jupyter shows, as HTML that stands on its own."""
