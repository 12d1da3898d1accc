"""What is scored, stored and reported."""
