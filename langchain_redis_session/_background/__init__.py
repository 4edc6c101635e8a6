"""What goes on behind the methods, in threads: write-behind, and summaries."""
