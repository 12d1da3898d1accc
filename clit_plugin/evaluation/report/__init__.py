"""Reports of stored results, beside the paper's figures."""
