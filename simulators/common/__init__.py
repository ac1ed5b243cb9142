"""What all simulated outside parties have in common: books that survive a kill, faults on demand, signed callbacks."""
