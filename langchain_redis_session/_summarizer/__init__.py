"""The parts of a summarizer: when, of what, asked how, by whom."""
