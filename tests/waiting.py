"""For what another thread does."""

import time


def wait_until(true):
    """Wait, for 20 seconds at most, until a function returns something true."""
    for _ in range(400):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")
