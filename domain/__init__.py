"""The rules: values, state machines, policies, allocation. True with everything switched off.

Standard library only: no I/O, no clock, no randomness, no Temporal, no SQL, no HTTP.
"""
