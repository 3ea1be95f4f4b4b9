"""What a window says in numbers."""
