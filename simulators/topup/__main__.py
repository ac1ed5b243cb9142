"""`python -m simulators.topup`: the operators as a process of their own."""

from __future__ import annotations

from simulators.common.serving import run
from simulators.topup.app import create_app

if __name__ == "__main__":
    run("simulators.topup", __doc__, 8092, create_app)
