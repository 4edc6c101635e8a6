"""What runs behind the verbs: write-behind persistence."""
