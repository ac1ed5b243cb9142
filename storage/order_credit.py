"""A distributor's credit line under an order: held at placing, used when it is locked, given back exactly once.

Each change of the balance is one conditional statement: it can neither be spent twice nor lost to a race. The hold is
part of the statement that records the order (order_admission). The row is a distributor's busiest: take it last, after
stock and flows, so that it is locked for the shortest time and never in two orders of locks.
"""

from __future__ import annotations

from storage.database import Connection


async def free(cx: Connection, distributor_id: str) -> int:
    """Minor units that are free of the credit line now."""
    cursor = await cx.execute(
        "SELECT limit_minor + prepaid_minor - outstanding_minor - held_minor AS free "
        "FROM credit_lines WHERE distributor_id = %s",
        (distributor_id,),
    )
    row = await cursor.fetchone()
    return int(row["free"]) if row else 0


async def use(cx: Connection, order_no: int) -> None:
    """The hold becomes outstanding: the receivable exists now."""
    await _end(cx, order_no, "used", outstanding=True)


async def release(cx: Connection, order_no: int) -> None:
    """The hold ends with nothing owed; an order that has none is left alone."""
    await _end(cx, order_no, "released", outstanding=False)


async def _end(cx: Connection, order_no: int, state: str, *, outstanding: bool) -> None:
    await cx.execute(
        """
        WITH hold AS (
            UPDATE credit_holds SET state = %(state)s WHERE order_no = %(order)s AND state = 'held'
            RETURNING distributor_id, amount_minor)
        UPDATE credit_lines c SET held_minor = c.held_minor - hold.amount_minor,
               outstanding_minor = c.outstanding_minor + CASE WHEN %(outstanding)s THEN hold.amount_minor ELSE 0 END
        FROM hold WHERE c.distributor_id = hold.distributor_id
        """,
        {"order": order_no, "state": state, "outstanding": outstanding},
    )


async def give_back(cx: Connection, distributor_id: str, amount_minor: int) -> None:
    """Outstanding credit is returned. Once-only because its caller moves the order in the same transaction."""
    await cx.execute(
        "UPDATE credit_lines SET outstanding_minor = outstanding_minor - %s WHERE distributor_id = %s",
        (amount_minor, distributor_id),
    )
