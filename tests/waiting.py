"""Waiting for another thread."""

import time


def wait_until(true):
    """Wait, at most 20 seconds, until a function returns a true value."""
    for _ in range(400):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")
