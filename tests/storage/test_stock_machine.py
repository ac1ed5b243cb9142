"""Stock as a state machine: whatever is done in whatever order, the database and a small model agree after each step.

The model knows levels and sums, not which warehouse is chosen: that is read back, and judged by what it may be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.inventory import CountBelowHeld, StockBelowHeld
from storage import stock, stock_alerts, stocktakes, warehouses
from storage.stock import Transfer
from tests.storage.shelves import ACTOR, CHENGDU, HANGZHOU, NOW, PARIS, SHANGHAI, Shop, a_shop

T = TypeVar("T")
PLACES = {"main": None, "east": SHANGHAI, "west": CHENGDU}
POLICIES = ("hold", "at_place", "at_payment")
WHERE, WHICH, FEW = st.sampled_from(sorted(PLACES)), st.sampled_from(POLICIES), st.integers(1, 4)
TWICE = st.booleans()


@dataclass
class Level:
    """What the model thinks of one variant in one warehouse."""

    on_hand: int = 0
    held: int = 0
    alert_below: int | None = None

    @property
    def available(self) -> int:
        return self.on_hand - self.held


@dataclass
class Placed:
    """An order: its lines' policies and quantities, and which lines are sold and not given back."""

    lines: dict[int, tuple[str, int]]
    sold: set[int] = field(default_factory=set)


class StockMachine(RuleBasedStateMachine):
    """One variant per policy, in three warehouses; `again`: the step is repeated, which changes nothing."""

    def __init__(self, shop: Shop, runner: asyncio.Runner) -> None:
        super().__init__()
        self.shop, self.runner = shop, runner
        self.active = set(PLACES)
        self.levels = {(policy, place): Level() for policy in POLICIES for place in PLACES}
        self.waiting: dict[int, Placed] = {}
        self.issuing: dict[int, Placed] = {}
        self.counts: dict[tuple[str, str], int] = {}
        self.stocktake = ""
        self.still_open = False
        self.serial = 0

    def run(self, wish: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await wish

        return self.runner.run(awaited())

    def fresh(self, kind: str) -> str:
        self.serial += 1
        return f"{kind}-{self.skus['hold']}-{self.serial}"

    def free(self, policy: str) -> int:
        return sum(self.levels[policy, place].available for place in self.active)

    @initialize()
    def begin(self) -> None:
        self.skus = {policy: self.run(self.shop.sku(policy)) for policy in POLICIES}
        for place in PLACES:
            self.run(self._activate(place, True))

    async def _activate(self, place: str, active: bool) -> None:
        async with self.shop.api.transaction() as cx:
            await warehouses.edit_warehouse(cx, place, {"active": active}, if_version=None, actor=ACTOR, now=NOW)

    @rule(policy=WHICH, place=WHERE, quantity=st.integers(1, 6))
    def receive(self, policy: str, place: str, quantity: int) -> None:
        self.run(self.shop.receive(self.skus[policy], place, quantity))
        self.levels[policy, place].on_hand += quantity

    @rule(place=WHERE)
    def close_or_reopen(self, place: str) -> None:
        self.active ^= {place}
        self.run(self._activate(place, place in self.active))

    @rule(
        lines=st.lists(st.tuples(WHICH, FEW), min_size=1, max_size=3),
        to=st.sampled_from([None, SHANGHAI, HANGZHOU, CHENGDU, PARIS]),
        again=TWICE,
    )
    def place(self, lines: list[tuple[str, int]], to: Any, again: bool) -> None:
        wanted = {policy: sum(units for other, units in lines if other == policy) for policy, _ in lines}
        short = {self.skus[policy]: self.free(policy) for policy in wanted if self.free(policy) < wanted[policy]}
        order_no = self.run(self.shop.order(*((self.skus[policy], units) for policy, units in lines), to=to))
        for _ in range(1 + again):
            assert (self.run(self.shop.hold(order_no)) or {}) == short
        if short:
            return
        placed = Placed(dict(enumerate(lines, 1)))
        parts = self.run(self.shop.parts(order_no))
        for line_no, (policy, units) in placed.lines.items():
            assert sum(count for _, count in parts[line_no]) == units
            assert {place for place, _ in parts[line_no]} <= self.active
            for place, count in parts[line_no]:
                level = self.levels[policy, place]
                level.held += count if policy == "hold" else 0
                level.on_hand -= count if policy == "at_place" else 0
        self.waiting[order_no] = placed

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), again=TWICE)
    def confirm(self, data: Any, again: bool) -> None:
        order_no = data.draw(st.sampled_from(sorted(self.waiting)))
        placed = self.waiting.pop(order_no)
        left, gone = self.free("at_payment"), []
        for line_no, (policy, units) in placed.lines.items():
            if policy == "at_payment":
                gone += [line_no] if units > left else []
                left -= units if units <= left else 0
        held = self.run(self.shop.parts(order_no))
        assert self.run(self.shop.confirm(order_no)) == gone
        if again:
            assert self.run(self.shop.confirm(order_no)) == []
        sold = self.run(self.shop.parts(order_no))
        placed.sold = set(placed.lines) - set(gone)
        assert set(sold) == placed.sold
        for line_no in placed.sold:
            policy, units = placed.lines[line_no]
            assert sum(count for _, count in sold[line_no]) == units
            assert policy == "at_payment" or sold[line_no] == held[line_no]
            for place, count in sold[line_no]:
                self.levels[policy, place].on_hand -= count if policy != "at_place" else 0
                self.levels[policy, place].held -= count if policy == "hold" else 0
        self.issuing[order_no] = placed

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), again=TWICE)
    def release(self, data: Any, again: bool) -> None:
        order_no = data.draw(st.sampled_from(sorted(self.waiting)))
        placed, parts = self.waiting.pop(order_no), self.run(self.shop.parts(order_no))
        for _ in range(1 + again):
            self.run(self.shop.release(order_no))
        for line_no, (policy, _) in placed.lines.items():
            for place, count in parts[line_no]:
                self.levels[policy, place].held -= count if policy == "hold" else 0
                self.levels[policy, place].on_hand += count if policy == "at_place" else 0

    @precondition(lambda self: any(placed.sold for placed in self.issuing.values()))
    @rule(data=st.data(), restock=st.booleans(), again=TWICE)
    def give_back(self, data: Any, restock: bool, again: bool) -> None:
        sold = sorted((order_no, line_no) for order_no, placed in self.issuing.items() for line_no in placed.sold)
        order_no, line_no = data.draw(st.sampled_from(sold))
        placed, parts = self.issuing[order_no], self.run(self.shop.parts(order_no))
        for _ in range(1 + again):
            self.run(self.shop.give_back(order_no, line_no, restock=restock))
        placed.sold.remove(line_no)
        for place, count in parts[line_no]:
            self.levels[placed.lines[line_no][0], place].on_hand += count if restock else 0

    @rule(policy=WHICH, source=WHERE, goal=WHERE, quantity=FEW, again=TWICE)
    def transfer(self, policy: str, source: str, goal: str, quantity: int, again: bool) -> None:
        if source == goal:
            return
        moved = Transfer(self.fresh("transfer"), self.skus[policy], source, goal, quantity)
        for _ in range(1 + again):
            assert self.run(self._transfer(moved)) == (quantity <= self.levels[policy, source].available)
        if quantity <= self.levels[policy, source].available:
            self.levels[policy, source].on_hand -= quantity
            self.levels[policy, goal].on_hand += quantity

    async def _transfer(self, moved: Transfer) -> bool:
        try:
            async with self.shop.api.transaction() as cx:
                await stock.transfer(cx, moved, actor=ACTOR, now=NOW)
        except StockBelowHeld:
            return False
        return True

    @rule(policy=WHICH, place=WHERE, below=st.none() | FEW)
    def alert(self, policy: str, place: str, below: int | None) -> None:
        async def set_alert() -> None:
            async with self.shop.api.transaction() as cx:
                await stock_alerts.set_alert(cx, self.skus[policy], place, below, actor=ACTOR, now=NOW)

        self.run(set_alert())
        self.levels[policy, place].alert_below = below

    @precondition(lambda self: not self.counts and not self.still_open)
    @rule(place=WHERE, found=st.lists(st.integers(0, 6), min_size=3, max_size=3))
    def count(self, place: str, found: list[int]) -> None:
        """Opened and counted: from here on others may sell, until it is closed."""
        self.stocktake = self.fresh("stocktake")
        counted = dict(zip(POLICIES, found, strict=True))

        async def count() -> None:
            async with self.shop.api.transaction() as cx:
                skus = list(self.skus.values())
                await stocktakes.open_stocktake(cx, self.stocktake, place, skus, note="", actor=ACTOR, now=NOW)
            async with self.shop.api.transaction() as cx:
                entered = {self.skus[policy]: units for policy, units in counted.items()}
                await stocktakes.count_lines(cx, self.stocktake, entered, actor=ACTOR, now=NOW)

        self.run(count())
        self.counts = {(policy, place): units - self.levels[policy, place].on_hand for policy, units in counted.items()}

    @precondition(lambda self: self.counts)
    @rule(again=TWICE)
    def close(self, again: bool) -> None:
        fits = all(self.levels[key].available + difference >= 0 for key, difference in self.counts.items())
        for _ in range(1 + again):
            assert self.run(self._close()) == fits
        if fits:
            for key, difference in self.counts.items():
                self.levels[key].on_hand += difference
        self.counts, self.still_open = {}, not fits

    async def _close(self) -> bool:
        try:
            async with self.shop.api.transaction() as cx:
                await stocktakes.close_stocktake(cx, self.stocktake, actor=ACTOR, now=NOW)
        except CountBelowHeld:
            return False
        return True

    @precondition(lambda self: self.still_open)
    @rule()
    def cancel_what_could_not_be_closed(self) -> None:
        async def cancel() -> None:
            async with self.shop.api.transaction() as cx:
                await stocktakes.cancel_stocktake(cx, self.stocktake, actor=ACTOR, now=NOW)

        self.run(cancel())
        self.still_open = False

    @invariant()
    def the_database_has_what_the_model_has(self) -> None:
        for policy, sku in getattr(self, "skus", {}).items():
            found = self.run(self.shop.levels(sku))
            for place in PLACES:
                level = self.levels[policy, place]
                assert found.get(place, (0, 0, 0))[:2] == (level.on_hand, level.held)
                assert 0 <= level.held <= level.on_hand

    @invariant()
    def an_alert_is_open_exactly_where_stock_is_low(self) -> None:
        skus = getattr(self, "skus", {})
        rows = self.run(
            self.shop.rows(
                "SELECT * FROM stock_alerts WHERE cleared_at IS NULL AND sku_id = ANY(%s)", list(skus.values())
            )
        )
        low = {
            (skus[policy], place)
            for (policy, place), level in self.levels.items()
            if level.alert_below is not None and level.available < level.alert_below
        }
        assert {(row["sku_id"], row["warehouse_id"]) for row in rows} == low

    @invariant()
    def movements_and_holds_add_up(self) -> None:
        assert self.run(self.shop.unproven()) == []

    def teardown(self) -> None:
        """An open stocktake is of this run's variants alone; the warehouses are everybody's."""
        for place in PLACES:
            self.run(self._activate(place, True))


def test_stock_agrees_with_its_model(owner_url: str, worker_url: str, api_url: str) -> None:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def opened() -> Shop:
            shop = await stack.enter_async_context(a_shop(owner_url, worker_url, api_url))
            await shop.warehouse("east", SHANGHAI, rank=1)
            await shop.warehouse("west", CHENGDU, rank=2)
            return shop

        shop = runner.run(opened())

        class Opened(StockMachine):
            def __init__(self) -> None:
                super().__init__(shop, runner)

        try:
            run_state_machine_as_test(
                Opened,
                settings=settings(
                    max_examples=30,
                    stateful_step_count=25,
                    deadline=None,
                    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
                ),
            )
        finally:
            runner.run(stack.aclose())
