"""The embedded default: PostgreSQL, Temporal and our own processes on one machine, started by one command.

Only composition roots and tests import this package. Production runs the same parts elsewhere (docker-compose.yml).
"""
