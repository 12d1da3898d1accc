"""The same numbers with fewer operations; without this folder everything would be right, and slow."""
