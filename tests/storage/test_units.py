"""Units as rows: each step of their story once, whatever is repeated or comes late."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain.units import CredentialStale, Happening, TrackedEvent, UnitNotFound, UnitState
from storage import units
from storage.units import NewUnit
from tests.storage.shelves import NOW, Shop

HOUR = timedelta(hours=1)


@pytest.fixture
async def order_no(shop: Shop) -> int:
    """An order of three pieces, in two parcels that are issued."""
    number = await shop.order((await shop.sku(main=3), 3))
    await issue(shop, number)
    return number


PARCELS = [NewUnit(2, "W-1", "WAYBILL", "s-1", 1001, "main"), NewUnit(1, "W-2", "WAYBILL", "s-2", 2001, "main")]


async def issue(shop: Shop, order_no: int, new: list[NewUnit] | None = None) -> None:
    async with shop.worker.transaction() as cx:
        await units.issue(cx, order_no, 1, new or PARCELS, carried=True, at=NOW)


async def track(shop: Shop, order_no: int, *events: TrackedEvent, unit: int = 0) -> UnitState | None:
    async with shop.worker.transaction() as cx:
        return await units.track(cx, order_no, 1, unit, events)


def told(happening: Happening, after: timedelta = HOUR, **more: Any) -> TrackedEvent:
    return TrackedEvent(happening, NOW + after, **more)


async def rows(shop: Shop, order_no: int) -> list[dict[str, Any]]:
    async with shop.worker.reading() as cx:
        return await units.of_line(cx, order_no, 1)


async def states(shop: Shop, order_no: int) -> list[str]:
    return [row["state"] for row in await rows(shop, order_no)]


async def history(shop: Shop, order_no: int, unit: int = 0) -> list[str]:
    found = await shop.rows(
        "SELECT event FROM unit_events WHERE order_no = %s AND line_no = 1 AND unit = %s ORDER BY id", order_no, unit
    )
    return [row["event"] for row in found]


async def test_issuing_twice_is_issuing_once(shop: Shop, order_no: int) -> None:
    await issue(shop, order_no, [NewUnit(2, "OTHER"), NewUnit(1, "OTHER")])
    assert [(row["quantity"], row["code"]) for row in await rows(shop, order_no)] == [(2, "W-1"), (1, "W-2")]
    assert await history(shop, order_no) == ["issued"]


async def test_what_is_owed_has_a_history_before_it_is_issued(shop: Shop) -> None:
    order_no = await shop.order((await shop.sku(main=3), 3))
    for _ in range(2):
        async with shop.worker.transaction() as cx:
            await units.owe(cx, order_no, 1, [NewUnit(2), NewUnit(1)], carried=True)
            await units.record(cx, order_no, 1, "packed", at=NOW)
    assert await states(shop, order_no) == ["owed", "owed"]
    await issue(shop, order_no)
    assert [row["code"] for row in await rows(shop, order_no)] == ["W-1", "W-2"]
    assert await history(shop, order_no) == ["packed", "issued"]


async def test_what_carriers_tell_out_of_order_and_twice_counts_once(shop: Shop, order_no: int) -> None:
    late, early = told("delivered", 5 * HOUR), told("shipped", HOUR)
    assert await track(shop, order_no, late) is UnitState.DELIVERED
    assert await track(shop, order_no, early, late) is UnitState.DELIVERED
    first, other = await rows(shop, order_no)
    assert (first["delivered_at"], other["state"]) == (NOW + 5 * HOUR, "issued")
    assert sorted(await history(shop, order_no)) == ["delivered", "issued", "shipped"]


async def test_news_in_one_message_is_taken_in_as_it_happened(shop: Shop, order_no: int) -> None:
    found = [told("found", 3 * HOUR), told("lost", 2 * HOUR), told("shipped", HOUR)]
    assert await track(shop, order_no, *found) is UnitState.SHIPPED


async def test_nothing_is_known_of_a_unit_that_is_not_there(shop: Shop, order_no: int) -> None:
    assert await track(shop, order_no, told("shipped"), unit=7) is None


async def test_the_highest_version_of_a_waybill_holds_in_whatever_order(shop: Shop, order_no: int) -> None:
    third = told("corrected", 2 * HOUR, tracking_no="W-1c", version=3)
    second = told("corrected", HOUR, tracking_no="W-1b", version=2)
    await track(shop, order_no, third)
    await track(shop, order_no, second)
    first, _ = await rows(shop, order_no)
    assert (first["code"], first["version"], first["state"]) == ("W-1c", 3, "issued")


async def correct(shop: Shop, order_no: int, code: str, version: int, unit: int = 0) -> int:
    async with shop.worker.transaction() as cx:
        return await units.correct(cx, order_no, 1, unit, code=code, version=version, actor="operator/ada", at=NOW)


async def test_a_person_corrects_what_was_read_and_nothing_newer(shop: Shop, order_no: int) -> None:
    assert [await correct(shop, order_no, "W-9", 1) for _ in range(2)] == [2, 2]
    assert (await history(shop, order_no)).count("corrected") == 1
    with pytest.raises(CredentialStale) as refusal:
        await correct(shop, order_no, "W-8", 1)
    assert refusal.value.facts == {"version": 2}
    with pytest.raises(UnitNotFound):
        await correct(shop, order_no, "W-9", 1, unit=7)


async def void(shop: Shop, order_no: int, unit: int | None = None) -> None:
    async with shop.worker.transaction() as cx:
        await units.void(cx, order_no, 1, at=NOW + HOUR, reason="all_or_nothing", unit=unit)


async def restore(shop: Shop, order_no: int) -> None:
    async with shop.worker.transaction() as cx:
        await units.restore(cx, order_no, 1, at=NOW + 9 * HOUR)


async def test_what_is_taken_back_moves_no_more_and_is_noted_once(shop: Shop, order_no: int) -> None:
    await void(shop, order_no)
    await void(shop, order_no)
    assert await track(shop, order_no, told("shipped")) is UnitState.VOID
    assert await states(shop, order_no) == ["void", "void"]
    assert (await history(shop, order_no)).count("voided") == 1


async def test_what_is_restored_stands_where_its_carrier_has_brought_it(shop: Shop, order_no: int) -> None:
    """A carrier refuses to give back what has arrived: its news came while the unit was void, and comes only once."""
    await track(shop, order_no, told("shipped", HOUR))
    await void(shop, order_no)
    await track(shop, order_no, told("delivered", 2 * HOUR))
    await restore(shop, order_no)
    await restore(shop, order_no)
    first, other = await rows(shop, order_no)
    assert (first["state"], first["delivered_at"], other["state"]) == ("delivered", NOW + 2 * HOUR, "issued")
    assert (await history(shop, order_no)).count("restored") == 1


async def breach(shop: Shop, order_no: int) -> bool:
    async with shop.worker.transaction() as cx:
        return await units.breach(
            cx, order_no, 1, 1, what="not_delivered", why="lost", cost_minor=500, currency="CNY",
            borne_by="carrier/swift", at=NOW,
        )  # fmt: skip


async def test_what_was_written_off_is_not_restored(shop: Shop, order_no: int) -> None:
    assert await breach(shop, order_no)
    await void(shop, order_no, unit=1)
    await void(shop, order_no)
    await restore(shop, order_no)
    assert await states(shop, order_no) == ["issued", "void"]


async def test_a_breach_is_recorded_once(shop: Shop, order_no: int) -> None:
    assert [await breach(shop, order_no) for _ in range(2)] == [True, False]


async def test_what_is_complete_stays(shop: Shop, order_no: int) -> None:
    await track(shop, order_no, told("delivered"))
    async with shop.worker.transaction() as cx:
        await units.complete(cx, order_no, 1, at=NOW + 2 * HOUR)
    await void(shop, order_no)
    assert await states(shop, order_no) == ["completed", "completed"]


async def on_their_way(shop: Shop, *lasting: str) -> list[int]:
    async with shop.api.reading() as cx:
        found = await units.lines_on_their_way(cx, lasting=lasting, after=(0, 0), limit=10)
    return [row["order_no"] for row in found]


async def test_lines_with_something_left_to_do_are_found_until_they_are_complete(shop: Shop, order_no: int) -> None:
    """Carried ones by themselves, others by their kind; the order is issued, so no other process looks after them."""
    await shop.rows("UPDATE orders SET status = 'issued' RETURNING status")
    assert await on_their_way(shop) == [order_no]
    await shop.rows("UPDATE fulfilment_units SET carried = false RETURNING unit")
    assert await on_their_way(shop) == await on_their_way(shop, "parking") == []
    assert await on_their_way(shop, "parking", "physical") == [order_no]
    async with shop.worker.transaction() as cx:
        await units.complete(cx, order_no, 1, at=NOW)
    assert await on_their_way(shop, "physical") == []


async def test_what_was_delivered_or_written_off_has_left_its_warehouse_for_good(shop: Shop) -> None:
    order_no = await shop.order((await shop.sku(main=3), 3))
    await issue(shop, order_no, [NewUnit(1, "W-1", warehouse_id="main"), NewUnit(2, "W-2", warehouse_id="west")])

    async def gone() -> list[str]:
        async with shop.worker.reading() as cx:
            return await units.left_for_good(cx, order_no, 1)

    assert await gone() == []
    await track(shop, order_no, told("shipped"), unit=1)
    assert await gone() == []
    await track(shop, order_no, told("delivered", 2 * HOUR), unit=1)
    assert await gone() == ["west"]
