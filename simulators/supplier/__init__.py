"""Ticket suppliers that speak OCTO over real HTTP, keep a book of what the world saw, and fail when told to."""
