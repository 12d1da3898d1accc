"""What a command line says: arguments, messages, exit status."""
