"""The last question to a channel about a pay order that was decided long ago: its payer may have paid after all, or
once more, and the channel's word of that may be lost."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from temporalio import workflow

from activities.payment_messages import RestPayment
from activities.payments import PaymentActivities
from domain.channels import NotKnown, NotReachable, Paid, PaymentAnswer, QuerySchedule, Unclear
from workflows.execution import durably
from workflows.policies import FORGOTTEN_FOR_GOOD


@dataclass(slots=True)
class Doubt:
    """Of a channel that says it knows nothing: one that forgets may remember, so it has to say so for long."""

    _since: datetime | None = None

    def is_over(self) -> bool:
        """It has said so once more. Whether that is believed now."""
        self._since = self._since or workflow.now()
        return workflow.now() - self._since >= FORGOTTEN_FOR_GOOD


@dataclass(slots=True)
class LastLook:
    """At the channel of one pay order. `query` asks it; `book` takes in what it has charged."""

    pay_id: str
    schedule: QuerySchedule
    query: Callable[[], Awaitable[PaymentAnswer]]
    book: Callable[[Paid], Awaitable[None]]
    _doubt: Doubt = field(default_factory=Doubt)

    async def take(self) -> None:
        """Until the answer is clear. Where that lasts for weeks the API's upkeep starts it again."""
        for asked in itertools.count():
            answer = await self.query()
            if isinstance(answer, Paid):
                await self.book(answer)
            if self._is_clear(answer):
                await durably(PaymentActivities.note_look, RestPayment(self.pay_id, workflow.now()))
                return
            if workflow.info().is_continue_as_new_suggested():
                return
            await workflow.sleep(timedelta(seconds=self.schedule.interval_s(asked)), summary="look again")

    def _is_clear(self, answer: PaymentAnswer) -> bool:
        if isinstance(answer, NotKnown):
            return self._doubt.is_over()
        return not isinstance(answer, Unclear | NotReachable)
