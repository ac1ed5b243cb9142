"""`python -m simulators.supplier`: the suppliers as a process of their own."""

from __future__ import annotations

from simulators.common.serving import run
from simulators.supplier.app import create_app

if __name__ == "__main__":
    run("simulators.supplier", __doc__, 8090, create_app)
