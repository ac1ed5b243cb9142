"""Everyone else's protocols in, domain values out. One package per kind of outside party."""
