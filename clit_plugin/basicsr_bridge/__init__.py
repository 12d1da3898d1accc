"""The only place that patches and drives BasicSR."""

# How the errors and interruptions of a training end.
CHECKPOINTS_KEPT = "saved checkpoints are kept, --auto_resume continues from them"
