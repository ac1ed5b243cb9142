"""`python -m simulators.carrier`: the carriers as a process of their own."""

from __future__ import annotations

from simulators.carrier.app import create_app
from simulators.common.serving import run

if __name__ == "__main__":
    run("simulators.carrier", __doc__, 8091, create_app)
