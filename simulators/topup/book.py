"""The operators' book: who was topped up with what."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from simulators.common import book


@dataclass(slots=True, kw_only=True)
class Recharge(book.Entry):
    """One order of packs for a phone: `reference` is the client's out_trade_no."""

    phone: str
    product: str
    quantity: int

    @property
    def order_id(self) -> str:
        """The operator's own name for it."""
        return f"R{self.id.replace('-', '')[:20].upper()}"

    def voucher(self, unit: int) -> str:
        """The receipt of one pack: the same on every read, different for every other."""
        return f"V{blake2b(f'{self.id}/{unit}'.encode(), digest_size=8).hexdigest().upper()}"

    def unit_references(self) -> list[str]:
        """One per pack: the gateway's clients name orders, not units."""
        return [f"{self.reference}#{unit}" for unit in range(self.quantity)]


class Book(book.Book[Recharge]):
    """All operators' recharges in one file of a directory."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir / "topup.sqlite3", lambda document: Recharge(**document))
