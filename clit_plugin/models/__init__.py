"""The model classes, subclasses of BasicSR's SRModel: training steps, resuming and validation."""
