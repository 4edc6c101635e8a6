"""What operations ask Redis for, and the drivers that carry it there."""
