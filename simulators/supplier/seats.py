"""How many units of each session are taken, in memory: rebuilt from the book at the start, so it never disagrees."""

from __future__ import annotations

from heapq import heappop, heappush

from simulators.supplier.book import LIVE, Booking

SessionKey = tuple[str, str, str, str]


class Seats:
    """Counts per (supplier, product, option, availability); expired holds are swept when anybody looks."""

    def __init__(self) -> None:
        self._taken: dict[SessionKey, int] = {}
        self._held: dict[str, tuple[SessionKey, int, float | None]] = {}
        self._expiring: list[tuple[float, str]] = []

    def note(self, booking: Booking) -> None:
        """Bring the counts in line with a booking that was made or changed."""
        self._release(booking.id)
        if booking.availability_id is None or booking.status not in LIVE:
            return
        key = (booking.supplier, booking.product_id, booking.option_id, booking.availability_id)
        expires_at = booking.expires_at if booking.status == "ON_HOLD" else None
        self._held[booking.id] = (key, len(booking.units), expires_at)
        self._taken[key] = self._taken.get(key, 0) + len(booking.units)
        if expires_at is not None:
            heappush(self._expiring, (expires_at, booking.id))

    def taken(self, supplier: str, product_id: str, option_id: str, availability_id: str, now: float) -> int:
        while self._expiring and self._expiring[0][0] <= now:
            expires_at, booking_id = heappop(self._expiring)
            held = self._held.get(booking_id)
            # A hold that was extended or confirmed since is registered with another expiry.
            if held is not None and held[2] == expires_at:
                self._release(booking_id)
        return self._taken.get((supplier, product_id, option_id, availability_id), 0)

    def forget(self, supplier: str) -> None:
        for booking_id in [each for each, held in self._held.items() if held[0][0] == supplier]:
            self._release(booking_id)

    def _release(self, booking_id: str) -> None:
        held = self._held.pop(booking_id, None)
        if held is not None:
            self._taken[held[0]] -= held[1]
