"""Files, errors, processes and the terminal; nothing here knows of super-resolution."""
