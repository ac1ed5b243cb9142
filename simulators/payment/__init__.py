"""Simulated payment channels."""
