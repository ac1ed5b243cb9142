"""Where stock is, and from where an order's lines are served: the nearest place that has it, in as few parts as can be.

Source: spec "physical": the nearest warehouse with stock, split over warehouses when needed. A line that goes nowhere
(a ticket of own quota) has no address; the same rule then goes by rank alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from domain.errors import DomainError
from domain.placing import InsufficientStock, demand_per_sku

MAIN_WAREHOUSE = "main"
"""The one that is always there: stock of which nobody said where it is, is here."""

ELSEWHERE = 3
"""How far apart two places are that do not even share a country."""


class WarehouseNotFound(DomainError):
    """No warehouse has this id."""

    code = "warehouse_not_found"

    def __init__(self, warehouse_id: str) -> None:
        super().__init__(f"There is no warehouse {warehouse_id}: list them, or create it first.")


class WarehouseExists(DomainError):
    """The id is taken, for ever."""

    code = "warehouse_exists"

    def __init__(self, warehouse_id: str) -> None:
        super().__init__(f"{warehouse_id} exists already: change it with PATCH, or choose another id.")


class WarehouseStale(DomainError):
    """The warehouse has changed since the caller read it (`If-Match`)."""

    code = "precondition_failed"

    def __init__(self, warehouse_id: str, version: int) -> None:
        super().__init__(f"{warehouse_id} is at version {version} by now: read it again, then decide again.")
        self.version = version

    @property
    def facts(self) -> dict[str, object]:
        return {"version": self.version}


@dataclass(frozen=True, slots=True)
class Place:
    """A point in the three nested names that addresses give. A blank name is unknown and equals no other."""

    country: str = ""
    region: str = ""
    city: str = ""


def distance(here: Place, there: Place | None) -> int:
    """0 in the same city, 1 in the same region, 2 in the same country, ELSEWHERE otherwise, or to nowhere.

    Names are compared without regard to case. A city counts only inside its region, a region inside its country.
    """
    if there is None:
        return ELSEWHERE
    shared = 0
    for one, other in ((here.country, there.country), (here.region, there.region), (here.city, there.city)):
        if not one or one.lower() != other.lower():
            break
        shared += 1
    return ELSEWHERE - shared


@dataclass(frozen=True, slots=True)
class Warehouse:
    """A place that serves orders. Of equally near ones the lower `rank` is asked first, then the lower id."""

    id: str
    place: Place = Place()
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Demand:
    """Units of one variant that a line wants; one or more."""

    line_no: int
    sku_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Part:
    """Units of a line that one warehouse serves."""

    line_no: int
    sku_id: str
    warehouse_id: str
    quantity: int


Available = Mapping[tuple[str, str], int]
"""Units that could be promised now, by variant and warehouse."""


def nearest_first(warehouses: Iterable[Warehouse], to: Place | None) -> list[str]:
    """The warehouses' ids in the order in which they are asked."""
    ranked = sorted(warehouses, key=lambda each: (distance(each.place, to), each.rank, each.id))
    return [each.id for each in ranked]


def allocate(
    demands: Sequence[Demand], available: Available, warehouses: Sequence[Warehouse], to: Place | None = None
) -> list[Part]:
    """Which warehouse serves how much of each line, by line and warehouse. Raises InsufficientStock.

    The nearest that has the whole order serves it; else each line comes from the nearest that has all of it; a line
    is split, nearest first, only where no single one has enough. What is in no listed warehouse is not there.
    """
    order = nearest_first(warehouses, to)
    left = {key: units for key, units in available.items() if key[1] in set(order) and units > 0}
    if short := shortage(demands, left):
        raise InsufficientStock(short)
    wanted = demand_per_sku([(each.sku_id, each.quantity) for each in demands])
    for warehouse_id in order:
        if all(left.get((sku_id, warehouse_id), 0) >= quantity for sku_id, quantity in wanted.items()):
            return [Part(each.line_no, each.sku_id, warehouse_id, each.quantity) for each in _by_line(demands)]
    parts: list[Part] = []
    # The largest line of a variant chooses first: it is the one that is hardest to serve whole.
    for demand in sorted(demands, key=lambda each: (each.sku_id, -each.quantity, each.line_no)):
        for part in _serve(demand, left, order):
            left[part.sku_id, part.warehouse_id] -= part.quantity
            parts.append(part)
    return sorted(parts, key=lambda part: (part.line_no, part.warehouse_id))


def shortage(demands: Iterable[Demand], available: Available) -> dict[str, int]:
    """What is left, over all warehouses, of each variant that cannot meet its demand; empty where all can."""
    total: dict[str, int] = {}
    for (sku_id, _), units in available.items():
        total[sku_id] = total.get(sku_id, 0) + units
    wanted = demand_per_sku([(each.sku_id, each.quantity) for each in demands])
    return {sku_id: total.get(sku_id, 0) for sku_id, quantity in wanted.items() if total.get(sku_id, 0) < quantity}


def servable(demands: Sequence[Demand], available: Available) -> list[Demand]:
    """The lines that can be served together, taken in their order: who comes later gets what is left, or nothing."""
    served: list[Demand] = []
    for demand in _by_line(demands):
        if not shortage([*(each for each in served if each.sku_id == demand.sku_id), demand], available):
            served.append(demand)
    return served


def first_parts(parts: Iterable[Part]) -> list[Part]:
    """Each line's part in the first of its warehouses, by line."""
    found: dict[int, Part] = {}
    for part in sorted(parts, key=lambda part: (part.line_no, part.warehouse_id)):
        found.setdefault(part.line_no, part)
    return list(found.values())


def _by_line(demands: Iterable[Demand]) -> list[Demand]:
    return sorted(demands, key=lambda each: each.line_no)


def _serve(demand: Demand, left: Available, order: Sequence[str]) -> list[Part]:
    """One line from what is left, which is enough in all: whole from one, else nearest first."""
    for warehouse_id in order:
        if left.get((demand.sku_id, warehouse_id), 0) >= demand.quantity:
            return [Part(demand.line_no, demand.sku_id, warehouse_id, demand.quantity)]
    parts: list[Part] = []
    missing = demand.quantity
    for warehouse_id in order:
        taken = min(missing, left.get((demand.sku_id, warehouse_id), 0))
        if taken > 0:
            parts.append(Part(demand.line_no, demand.sku_id, warehouse_id, taken))
            missing -= taken
    assert missing == 0, "the shortage was asked for before"
    return parts
