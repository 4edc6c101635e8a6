"""What runs behind the methods: write-behind persistence."""
