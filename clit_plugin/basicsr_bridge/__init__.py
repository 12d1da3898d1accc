"""The only place that patches and drives BasicSR."""
