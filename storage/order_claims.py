"""Claims: the one statement, before anything starts, that makes placing an order once-only for ever."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from domain.access import Fence
from domain.errors import DomainError
from storage.database import Connection


class ClientOrderNoReused(DomainError):
    """The distributor's own number is taken by an order with other content."""

    code = "client_order_no_reused"

    def __init__(self, client_order_no: str, order_no: int) -> None:
        super().__init__(
            f"client_order_no {client_order_no!r} belongs to order {order_no:019d} with other content: "
            "use a new number."
        )
        self.order_no = order_no

    @property
    def facts(self) -> dict[str, object]:
        return {"order_no": f"{self.order_no:019d}"}


@dataclass(frozen=True, slots=True)
class Claim:
    """`mine`: this call has to send the order; otherwise `answer` is the first answer, or None while it is in flight.

    `same_body` is False where the key (or number) was used with another body; `by_key` tells which of them matched.
    """

    order_no: int
    mine: bool
    by_key: bool
    same_body: bool
    answer: dict[str, Any] | None


async def claim(
    cx: Connection,
    *,
    order_no: int,
    distributor_id: str,
    idempotency_key: str,
    body_hash: str,
    client_order_no: str | None,
    request: dict[str, Any],
    patience_s: float,
) -> Claim:
    """Claim the right to place, or find the claim that was first. `patience_s`: how long its sender may wait."""
    for _ in range(3):
        cursor = await cx.execute(
            """
            INSERT INTO order_claims (order_no, distributor_id, idempotency_key, body_hash, client_order_no, request,
                                      sent_until, created_at)
            VALUES (%s, %s, %s, %s, %s, %s, now() + make_interval(secs => %s), now())
            ON CONFLICT DO NOTHING RETURNING order_no
            """,
            (order_no, distributor_id, idempotency_key, body_hash, client_order_no, Jsonb(request), patience_s),
        )
        if await cursor.fetchone():
            return Claim(order_no, mine=True, by_key=True, same_body=True, answer=None)
        found = await _first(cx, distributor_id, idempotency_key, client_order_no)
        if found is not None:
            return await _settle(cx, found, idempotency_key, body_hash, patience_s)
    raise RuntimeError("a claim was neither free nor taken, three times")


async def _first(
    cx: Connection, distributor_id: str, idempotency_key: str, client_order_no: str | None
) -> dict[str, Any] | None:
    cursor = await cx.execute(
        """
        SELECT order_no, idempotency_key, body_hash, answer FROM order_claims
        WHERE distributor_id = %(distributor)s AND idempotency_key = %(key)s
        UNION ALL
        SELECT order_no, idempotency_key, body_hash, answer FROM order_claims
        WHERE distributor_id = %(distributor)s AND client_order_no = %(number)s AND NOT refused
        LIMIT 1
        """,
        {"distributor": distributor_id, "key": idempotency_key, "number": client_order_no},
    )
    return await cursor.fetchone()


async def _settle(
    cx: Connection, found: dict[str, Any], idempotency_key: str, body_hash: str, patience_s: float
) -> Claim:
    order_no, by_key = found["order_no"], found["idempotency_key"] == idempotency_key
    same_body = found["body_hash"] == body_hash
    mine = False
    if same_body and found["answer"] is None:
        cursor = await cx.execute(
            """
            UPDATE order_claims SET sent_until = now() + make_interval(secs => %s)
            WHERE order_no = %s AND answer IS NULL AND sent_until <= now() RETURNING order_no
            """,
            (patience_s, order_no),
        )
        mine = await cursor.fetchone() is not None
    return Claim(order_no, mine=mine, by_key=by_key, same_body=same_body, answer=found["answer"])


async def record_answer(cx: Connection, order_no: int, answer: dict[str, Any], *, refused: bool) -> None:
    """Keep the first answer, in the transaction of its effect; a refusal frees the `client_order_no`."""
    await cx.execute(
        "UPDATE order_claims SET answer = coalesce(answer, %s), refused = refused OR %s WHERE order_no = %s",
        (Jsonb(answer), refused, order_no),
    )


async def stop_waiting(cx: Connection, order_no: int) -> None:
    """The sender no longer waits: a repeat of the request may send again at once."""
    await cx.execute("UPDATE order_claims SET sent_until = now() WHERE order_no = %s AND answer IS NULL", (order_no,))


async def answer_of(cx: Connection, order_no: int) -> dict[str, Any] | None:
    """The first answer, once there is one."""
    cursor = await cx.execute("SELECT answer FROM order_claims WHERE order_no = %s", (order_no,))
    row = await cursor.fetchone()
    return row["answer"] if row else None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A claim without an answer, and whose it is."""

    order_no: int
    distributor_id: str


async def exists(cx: Connection, *, distributor_id: str, idempotency_key: str, client_order_no: str | None) -> bool:
    """Whether this wish has been claimed before, by its key or by its number."""
    return await _first(cx, distributor_id, idempotency_key, client_order_no) is not None


async def is_accepted(cx: Connection, order_no: int, fence: Fence) -> bool:
    """Whether the number was given to somebody within the fence: its order will follow, or be refused."""
    cursor = await cx.execute(
        "SELECT 1 FROM order_claims WHERE order_no = %(order)s "
        "AND (%(distributor)s::text IS NULL OR distributor_id = %(distributor)s) "
        "AND (%(buyer)s::text IS NULL OR request ->> 'buyer_ref' = %(buyer)s)",
        {"order": order_no, "distributor": fence.distributor_id, "buyer": fence.buyer_id},
    )
    return await cursor.fetchone() is not None


async def unanswered(cx: Connection, *, after: int, limit: int) -> list[Unanswered]:
    """Claims that nobody waits for any more and that have no answer, in id order: to be sent again."""
    cursor = await cx.execute(
        """
        SELECT order_no, distributor_id FROM order_claims
        WHERE answer IS NULL AND sent_until < now() AND order_no > %s ORDER BY order_no LIMIT %s
        """,
        (after, limit),
    )
    return [Unanswered(**row) async for row in cursor]


async def claim_successor(cx: Connection, order_no: int, successor_no: int, *, total_minor: int, at: datetime) -> None:
    """Claim an order that asks for what `order_no` asked for, at its prices and total, in its place. Once per order."""
    await cx.execute(
        """
        INSERT INTO order_claims (order_no, distributor_id, idempotency_key, body_hash, request, sent_until, created_at)
        SELECT %(successor)s, distributor_id, 'revives/' || %(order)s, '',
               request || jsonb_build_object('revives', %(order)s::bigint, 'expected_total', jsonb_build_object(
                   'amount_minor', %(total)s::bigint, 'currency', request ->> 'currency')),
               %(at)s, %(at)s
        FROM order_claims WHERE order_no = %(order)s
        """,
        {"successor": successor_no, "order": order_no, "total": total_minor, "at": at},
    )
