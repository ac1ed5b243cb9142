"""How a supplier is doing: the scorecard of its answers, and the circuit breaker that the scorecard opens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.errors import DomainError


class BreakerState(StrEnum):
    """`forced_open` and `forced_closed` are an operator's word and last until the operator takes it back."""

    CLOSED = "closed"
    OPEN = "open"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"


@dataclass(frozen=True, slots=True)
class BreakerTerms:
    """Opens when at least `min_calls` of the latest `window` calls exist and `error_share` of them failed."""

    window: int = 20
    min_calls: int = 10
    error_share: float = 0.5
    cooldown_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """A supplier's breaker as it stands; `probe_at`: when a probe was let through the open breaker."""

    state: BreakerState
    opened_at: datetime | None = None
    probe_at: datetime | None = None

    def admits(self, terms: BreakerTerms, now: datetime) -> bool:
        """Whether a lock may be tried now. An open breaker lets one probe through per cool-down."""
        if self.state in (BreakerState.CLOSED, BreakerState.FORCED_CLOSED):
            return True
        if self.state is BreakerState.FORCED_OPEN or self.opened_at is None:
            return False
        latest = max(self.opened_at, self.probe_at or self.opened_at)
        return now - latest >= timedelta(seconds=terms.cooldown_s)

    def probes(self) -> bool:
        """Whether an admitted call is a probe, to be recorded as such before it is made."""
        return self.state is BreakerState.OPEN

    def after(self, terms: BreakerTerms, now: datetime, *, calls: int, failures: int, succeeded: bool) -> Breaker:
        """The breaker after one more call, of which `calls` and `failures` count the latest `terms.window`."""
        if self.state in (BreakerState.FORCED_OPEN, BreakerState.FORCED_CLOSED):
            return self
        if self.state is BreakerState.OPEN:
            return Breaker(BreakerState.CLOSED) if succeeded else self
        if calls >= terms.min_calls and failures >= terms.error_share * calls:
            return Breaker(BreakerState.OPEN, opened_at=now)
        return self


class SupplierUnavailable(DomainError):
    """No supplier of the line can be asked to hold it now."""

    code = "supplier_unavailable"

    def __init__(self, sku_id: str) -> None:
        super().__init__(f"No supplier of {sku_id} answers at the moment: nothing was taken; try again later.")
        self.sku_id = sku_id

    @property
    def facts(self) -> dict[str, object]:
        return {"sku_id": self.sku_id}
