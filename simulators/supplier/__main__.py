"""`python -m simulators.supplier`: the suppliers as a process of their own."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn

from simulators.supplier.app import create_app


def main() -> None:
    parser = argparse.ArgumentParser(prog="simulators.supplier", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--data", type=Path, required=True, help="directory of the book")
    args = parser.parse_args()
    # Idle connections outlive those of any client's pool (a race there would look like a fault that nobody ordered);
    # hanging calls must not hold up a shutdown; proxy headers would only cost time.
    uvicorn.run(
        create_app(args.data),
        host=args.host,
        port=args.port,
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
