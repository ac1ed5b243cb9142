"""Offers over HTTP: who sells us a variant at what cost, and who carries everything of a kind to which regions."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import Field, model_validator
from starlette.responses import Response

from api.deps import DatabaseDep, NowDep, capability, require
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.pages import Page, PagingDep
from api.views import Flag, Id, Input, MoneyView, View
from domain.access import Action, NotPermitted, Principal
from domain.categories import CATEGORIES
from storage import offers
from storage.database import Connection
from storage.offers import NewOffer

router = capability("Suppliers")

Reader = Annotated[Principal, require(Action.SUPPLIER_READ)]
Writer = Annotated[Principal, require(Action.SUPPLIER_WRITE)]
OfferId = Annotated[Id, Path(examples=["off_0f3a9c1d2b4e5f60a1b2"])]
Region = Annotated[str, Field(pattern=r"^[A-Z]{2}(/.{1,100})?$", examples=["CN/上海"])]
Kind = Annotated[str, Field(max_length=64, examples=["physical"])]
Cost = Annotated[int, Field(ge=0, le=10**12, strict=True, examples=[800])]
Rank = Annotated[int, Field(ge=0, le=1000, strict=True)]
TheirId = Annotated[str, Field(min_length=1, max_length=200)]


class OfferInput(Input):
    """A supplier's offer of one variant (`sku_id`), or of all of a kind (`kind`): a carrier's.

    `cost_minor`: per piece, in minor units of the supplier's currency. The supplier's own ids are as it names them.
    `regions`: ISO countries, or country and region with a stroke between them; without, it serves everywhere.
    """

    supplier_id: Id = Field(examples=["northgate"])
    sku_id: Id | None = None
    kind: Kind | None = None
    supplier_product_id: TheirId = Field(examples=["standard"])
    option_id: TheirId = "DEFAULT"
    unit_id: TheirId = "unit"
    cost_minor: Cost
    rank: Rank = 0
    regions: Annotated[list[Region], Field(min_length=1, max_length=500)] | None = None
    lock_at_supplier: Flag = False

    @model_validator(mode="after")
    def _of_one_thing(self) -> OfferInput:
        if (self.sku_id is None) == (self.kind is None):
            raise ValueError("an offer is of a variant or of a kind: give either sku_id or kind")
        if self.kind is not None and self.kind not in CATEGORIES.names():
            raise ValueError(f"there is no kind {self.kind!r}; there are: {', '.join(CATEGORIES.names())}")
        return self


class OfferChange(Input):
    """What is given is set, the rest stays."""

    cost_minor: Cost | None = None
    rank: Rank | None = None
    active: Flag | None = None


class OfferRowView(View):
    """An offer: `rank` 0 is asked first."""

    id: str
    supplier_id: str
    sku_id: str | None
    kind: str | None
    regions: list[str] | None
    supplier_product_id: str
    option_id: str
    unit_id: str
    cost: MoneyView
    rank: int
    lock_at_supplier: bool
    active: bool

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> OfferRowView:
        cost = MoneyView(amount_minor=row["cost_minor"], currency=row["currency"])
        return cls(cost=cost, **{name: row[name] for name in cls.model_fields if name != "cost"})


@router.post(
    "/v1/offers",
    status_code=201,
    response_model=OfferRowView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=["supplier_not_found", "product_not_found", "offer_exists"]),
    summary="Make an offer",
)
async def make_offer(body: OfferInput, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """From now on the variant, or everything of the kind, can be bought or carried so."""
    given = body.model_dump()
    new = NewOffer(id=f"off_{secrets.token_hex(10)}", **given)

    async def make(connection: Connection) -> Answer:
        return Answer(201, OfferRowView.of(await offers.insert_offer(connection, new, actor=caller.ref, now=now)))

    return await keeper.in_transaction(caller, make)


@router.patch(
    "/v1/offers/{offer_id}",
    response_model=OfferRowView,
    responses=problems(401, 403, 404, 413, 415, codes=["offer_not_found"]),
    summary="Change an offer",
)
async def change_offer(
    offer_id: OfferId, body: OfferChange, caller: Writer, database: DatabaseDep, now: NowDep
) -> OfferRowView:
    """Its cost, its rank, or whether it is made at all. Orders that are placed keep the cost they were planned with."""
    async with database.transaction() as connection:
        row = await offers.change_offer(connection, offer_id, **body.model_dump(), actor=caller.ref, now=now)
    return OfferRowView.of(row)


@router.get("/v1/offers", response_model=Page[OfferRowView], responses=problems(401, 403), summary="List offers")
async def list_offers(
    caller: Reader,
    paging: PagingDep,
    database: DatabaseDep,
    sku_id: Annotated[Id | None, Query(description="Only offers of this variant.")] = None,
    supplier_id: Annotated[Id | None, Query(description="Only this supplier's.")] = None,
    kind: Annotated[Kind | None, Query(description="Only offers of everything of this kind.")] = None,
) -> Response:
    """For operators, in the order of their ids; costs are nobody else's business."""
    if caller.distributor_id is not None:
        raise NotPermitted(Action.SUPPLIER_READ, "offers")
    position = paging.after(caller)
    async with database.reading() as connection:
        rows = await offers.list_offers(
            connection,
            sku_id=sku_id,
            supplier_id=supplier_id,
            kind=kind,
            after=str(position[0]) if position else None,
            limit=paging.fetch,
        )
    return paging.answer(caller, rows, OfferRowView.of, lambda row: [row["id"]])
