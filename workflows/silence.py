"""A channel that does not answer clearly: questions go on, and after a while a person hears of it, until it speaks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from temporalio import workflow

from activities.charges import ChargeActivities
from activities.issuance import IssuanceActivities
from activities.issuance_messages import ResolveException
from activities.payment_messages import Alarms, OpenMoneyCase
from workflows.execution import durably


@dataclass(slots=True)
class Silence:
    """About one pay order or refund (`subject`). `alarm_s`: how long nothing may be clear, in seconds; `alarms`: what
    earlier runs of the process have told already."""

    subject: str
    kind: str
    channel_id: str
    alarm_s: float
    alarms: Alarms
    pay_id: str | None
    refund_id: str | None = None
    _since: datetime | None = None
    _raised: int = field(init=False)
    _open: bool = field(init=False)

    def __post_init__(self) -> None:
        self._raised, self._open = self.alarms.raised, self.alarms.open

    async def goes_on(self) -> None:
        """One more answer that says nothing."""
        now = workflow.now()
        self._since = self._since or now
        if self._open or (now - self._since).total_seconds() < self.alarm_s:
            return
        self._raised, self._open = self._raised + 1, True
        evidence: dict[str, object] = {"channel_id": self.channel_id, "since": self._since.isoformat()}
        message = OpenMoneyCase(self._case_id, self.kind, now, evidence, pay_id=self.pay_id, refund_id=self.refund_id)
        await durably(ChargeActivities.open_money_case, message)

    async def ends(self) -> None:
        """It has spoken, or nobody has to know any more."""
        self._since = None
        if self._open:
            self._open = False
            message = ResolveException(self._case_id, workflow.now(), "system", {"decision": "cleared"})
            await durably(IssuanceActivities.resolve_exception, message)

    @property
    def _case_id(self) -> str:
        return f"xcp-{self.subject}-unclear-{self._raised}"
