"""Payment channels that take money of payers, tell merchants, and give money back: each in its own protocol."""
