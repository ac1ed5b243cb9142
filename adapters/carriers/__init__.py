"""Carriers: suppliers whose booking is a parcel, and who tell what happens to it on its way."""
