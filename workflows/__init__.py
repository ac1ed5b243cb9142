"""What happens next and when: ordering, waiting, deciding, undoing. Deterministic; effects are activities."""
