"""`python -m simulators.payment`: the channels as a process of their own."""

from __future__ import annotations

from simulators.common.serving import run
from simulators.payment.app import create_app

if __name__ == "__main__":
    run("simulators.payment", __doc__, 8093, create_app)
