"""Operators that top up mobile data over a signed HTTP gateway, with no standard, as such gateways are."""
