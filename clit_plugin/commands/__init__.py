"""The command line: arguments, messages, exit status."""
