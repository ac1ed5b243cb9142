"""The sample suppliers: contracts that work against the simulators, and what people change afterwards stays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import httpx2
import psycopg
import pytest

import migrations
from activities.supplier_directory import Directory
from adapters.suppliers import BookingRequest, Goods, ShipTo
from domain.issuance import Confirmed, Rejected
from embedded.postgres import PostgresServer
from seed_suppliers import CARRIERS, OPERATORS, TICKET_SUPPLIERS, ensure_suppliers
from settings import Settings
from simulators.carrier.serving import serving
from storage import supplier_contracts
from storage.database import Database
from storage.suppliers import SupplierRow

NAME = "seed_suppliers_tests"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("carriers")) as url:
        yield url


@dataclass
class Shop:
    database: Database
    settings: Settings
    client: httpx2.AsyncClient
    simulator: str

    async def seed(self) -> tuple[str, ...]:
        return await ensure_suppliers(self.database, self.settings, actor="service/seed")

    async def contracts(self) -> dict[str, SupplierRow]:
        async with self.database.reading() as cx:
            return {row.id: row for row in await supplier_contracts.list_suppliers(cx)}


@pytest.fixture
async def shop(
    postgres: PostgresServer, simulator: str, unused_tcp_port_factory: Callable[[], int]
) -> AsyncIterator[Shop]:
    """Of the simulators only the carriers' is there: the others are not needed for it."""
    postgres.ensure_roles(NAME)
    migrations.upgrade(postgres.url("tessera_owner", NAME))
    with psycopg.connect(postgres.url("tessera_owner", NAME), autocommit=True) as connection:
        connection.execute("DELETE FROM suppliers")
    settings = Settings(
        simulator_port=unused_tcp_port_factory(),
        carrier_simulator_port=int(simulator.rpartition(":")[2]),
        topup_simulator_port=unused_tcp_port_factory(),
    )
    async with (
        Database(postgres.url("tessera_api", NAME), pool_max=2) as database,
        httpx2.AsyncClient(trust_env=False) as client,
    ):
        yield Shop(database, settings, client, simulator)


def a_parcel(region: str) -> BookingRequest:
    return BookingRequest(
        reference=f"parcel-to-{region}".lower(),
        product_id="parcel",
        option_id="DEFAULT",
        unit_id="parcel",
        availability_id=None,
        unit_references=("u1",),
        order_no="20260000000001",
        currency="CNY",
        ship_to=ShipTo("Lin Wei", "13800000000", "CN", region, region, "1 Long Street"),
        ship_from="wh1",
        goods=(Goods("sku_1", "Tote bag", 1, 300),),
    )


async def test_the_sample_carriers_take_parcels_where_their_offer_says_so(shop: Shop) -> None:
    assert await shop.seed() == (*TICKET_SUPPLIERS, *OPERATORS, *CARRIERS)
    directory = Directory(shop.database, shop.client, fresh_s=0)
    for carrier_id, sample in CARRIERS.items():
        carrier = await directory.supplier(carrier_id)
        for region in sample.regions or ("Shanghai", "Xinjiang"):
            answer = await carrier.issue(a_parcel(region), reserved=False, timeout_s=5)
            assert isinstance(answer, Confirmed), (carrier_id, region)
        if sample.regions is not None:
            refused = await carrier.issue(a_parcel("Xinjiang"), reserved=False, timeout_s=5)
            assert isinstance(refused, Rejected)
            assert refused.code == "area_not_served"


async def test_carriers_know_where_to_call_back_and_new_ones_move_by_themselves(shop: Shop) -> None:
    await shop.seed()
    contracts = await shop.contracts()
    assert {contracts[each].protocol for each in CARRIERS} == {"parcel"}
    for carrier_id in CARRIERS:
        shown = (await shop.client.get(f"{shop.simulator}/control/{carrier_id}")).json()
        assert shown["callback"]["url"] == f"{shop.settings.api_url}/v1/callbacks/suppliers/{carrier_id}"
        assert shown["moves"]


async def test_seeding_again_follows_the_simulators_address_and_leaves_the_rest(shop: Shop) -> None:
    await shop.seed()
    await shop.client.put(f"{shop.simulator}/control/swift", json={"moves": False})
    async with shop.database.transaction() as cx:
        await cx.execute("UPDATE suppliers SET name = 'Swifter', base_url = 'http://moved.example' WHERE id = 'swift'")
    before = (await shop.contracts())["swift"].callback_secret
    await shop.seed()
    swift = (await shop.contracts())["swift"]
    assert (swift.name, swift.base_url) == ("Swifter", f"{shop.simulator}/swift/v1")
    assert swift.callback_secret == before
    assert not (await shop.client.get(f"{shop.simulator}/control/swift")).json()["moves"]
