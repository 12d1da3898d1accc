"""Videos: read frame by frame, enlarged in parts that an interruption leaves, and joined with their sound."""
