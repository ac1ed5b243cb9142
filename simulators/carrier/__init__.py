"""Carriers that take parcels over real HTTP, move and lose them, keep a book, and fail when told to."""
