"""The few named time-outs and retry policies: every activity call names one; nothing else invents a duration."""

from __future__ import annotations

from datetime import timedelta

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityConfig, LocalActivityConfig

OUR_DATABASE = LocalActivityConfig(
    start_to_close_timeout=timedelta(seconds=2),
    schedule_to_close_timeout=timedelta(seconds=3),
    # The limit on tries is what ends it: tries that fail at once are repeated past schedule_to_close for ever.
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=50), maximum_interval=timedelta(seconds=1), maximum_attempts=6
    ),
)
"""One transaction of ours as a local activity: quick, or else handed to DATABASE."""

DATABASE = ActivityConfig(
    start_to_close_timeout=timedelta(seconds=30),
    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=15)),
)
"""One transaction of ours as a normal activity: retried until the database is back, without filling the history."""

IMPORT_CHUNK = ActivityConfig(
    start_to_close_timeout=timedelta(seconds=10),
    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=15)),
)
"""Some hundred rows in one transaction of ours: for ever, and soon again where its worker was killed."""

SUPPLIER_READ = ActivityConfig(
    start_to_close_timeout=timedelta(minutes=5),
    heartbeat_timeout=timedelta(seconds=60),
    retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=4),
)
"""Reading from a supplier, where not reading is bearable: a few tries, then the next run."""

UNDO_AT_SUPPLIER = ActivityConfig(
    start_to_close_timeout=timedelta(seconds=30),
    retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=10)),
)
"""Compensation at a supplier: for ever, with back-off."""

ONCE = RetryPolicy(maximum_attempts=1)
"""A call to a supplier: whether to send again is negotiation's decision, never a retry policy's."""

SUPPLIER_GRACE = timedelta(seconds=15)
"""What a supplier's activity may take beyond the call itself: reading the intent, noting the answer."""

SUPPLIER_QUEUE = timedelta(minutes=5)
"""How long a call may wait for a free slot of its supplier's queue before its outcome counts as unknown."""

QUERY_TIMEOUT_S = 10.0
"""The time-out of a question or a cancellation at a supplier, in seconds."""

UNDO_ALARM = timedelta(minutes=5)
"""After this long an unfinished compensation shows in the operators' queue."""

LOCK_POLL = timedelta(milliseconds=500)
"""How often an asynchronous lock is asked for, until its fail-fast deadline."""

RESEND_TRIES = 3
"""How often a call that certainly did not arrive is sent again before another supplier is tried."""

ASK_AGAIN_S = 1.0
"""The first pause after a question about a release that was not answered, in seconds; it doubles."""

ASK_CEILING_S = 3600.0
"""The longest pause between questions once an operator has been asked to decide, in seconds."""

SHORTEST_PAUSE_S = 0.2
"""The shortest pause between two questions, in seconds."""

DENIALS_BELIEVED_LOST = 5
"""After this often *not found* from a supplier that refuses to cancel, what it may keep is booked as lost."""

CHANNEL_GRACE = timedelta(seconds=10)
"""What a channel's activity may take beyond the call itself: reading the request, noting the answer."""

CHANNEL_QUEUE = timedelta(minutes=5)
"""How long a call may wait for a free slot of its channel's queue before its outcome counts as unclear."""

ORDER_ANSWERS = ActivityConfig(
    start_to_close_timeout=timedelta(seconds=30),
    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=30)),
)
"""Telling an order that it is paid, until it has answered: for ever."""

PAID_LATE_LOOK = timedelta(minutes=5)
"""How often an order that has run out looks whether its payment is decided, should nobody tell it."""

REFUND_LOOK = timedelta(seconds=30)
"""How often an order looks for the end of a refund whose process somebody else has started."""

FORGOTTEN_FOR_GOOD = timedelta(minutes=10)
"""How long a channel has to say that it knows nothing of a pay order that it had named, or is asked about for the last
time, before that is believed."""
