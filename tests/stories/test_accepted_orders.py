"""An order that has been accepted is found from the first moment, also before its row exists."""

from __future__ import annotations

from datetime import UTC, datetime

from storage import order_claims
from tests.platform import Platform


async def test_a_claimed_order_answers_accepted_until_it_is_placed(platform: Platform) -> None:
    buyer = await platform.a_distributor()
    stranger = await platform.a_distributor()
    order_no = platform.app.state.parts.next_order_no("buyer")
    async with platform.app.state.parts.database.transaction() as cx:
        await order_claims.claim(
            cx,
            order_no=order_no,
            distributor_id=buyer.id,
            idempotency_key=f"never-sent-{datetime.now(UTC).timestamp()}",
            body_hash="hash",
            client_order_no=None,
            request={},
            patience_s=1,
        )
        await order_claims.record_answer(cx, order_no, {"refusal": {}}, refused=True)

    mine = await platform.api.get(f"/v1/orders/{order_no:019d}", headers=buyer.headers)
    theirs = await platform.api.get(f"/v1/orders/{order_no:019d}", headers=stranger.headers)

    assert (mine.status_code, mine.json()["status"]) == (202, "accepted")
    assert theirs.status_code == 404
