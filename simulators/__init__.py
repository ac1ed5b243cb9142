"""Outside parties as real services of their own, with faults on demand; they know nothing of the platform."""
