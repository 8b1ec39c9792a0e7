"""What a sweep is made of: its rows, what they say of each other, and the checkpoint."""
