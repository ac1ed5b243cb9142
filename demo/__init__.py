"""The demo and its torment: seeded buyers and an operator use the public API while suppliers misbehave on demand.

A composition root: it may know everybody. What it counts, it counts outside: in the suppliers' own books.
"""
