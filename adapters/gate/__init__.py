"""What gates read, also without a line to us: signed tokens and signed lists, by Ed25519 (RFC 8032)."""
