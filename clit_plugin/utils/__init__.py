"""Files, errors, processes and the terminal; nothing specific to super-resolution."""
