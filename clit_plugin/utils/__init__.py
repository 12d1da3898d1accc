"""What knows nothing of super-resolution."""
