"""Drawing: systems side by side, attention maps."""
