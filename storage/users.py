"""Shoppers: who they are, the tokens they came in with, and the checkouts they were shown."""
