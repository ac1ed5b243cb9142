"""The catalogue at size: bulk import beside the bare COPY of the same lines, a kill in its middle, and search."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import httpx2
import psutil

from benchmarks.lives import NotAsExpected
from benchmarks.load import drive
from benchmarks.plain_http import Reply
from benchmarks.results import Result
from benchmarks.world import World
from domain.catalog import ProductStatus
from storage import catalog_search
from storage.catalog_reading import Visibility
from storage.catalog_search import Search

PRODUCTS = 100_000
KILLED_SHARE = 5
"""The import in which the worker is killed has one of so many of the lines."""

SEARCHES = 500
PATIENCE_S = 900.0
MIB = 1024 * 1024
PARTS = ("api-1", "worker-1")

_CHINESE = (
    "青铜器", "丝绸", "灯笼", "瓷器", "书签", "圆领T恤", "手提袋", "明信片", "兵马俑", "山水画", "茶具", "折扇", "玉佩",
    "印章", "团扇", "香囊", "漆器", "拓片", "屏风", "算盘",
)  # fmt: skip
_LATIN = (
    "museum", "cotton", "silk", "lantern", "porcelain", "bookmark", "shirt", "tote", "postcard", "print", "tea", "fan",
    "jade", "seal", "bronze", "lacquer",
)  # fmt: skip
_COLOURS = ["黑色", "白色", "红色", "蓝色", "natural", "green"]


def _line(number: int) -> bytes:
    """A made-up product: the same for the same number."""
    dice = random.Random(number)
    words = [*dice.sample(_CHINESE, 2), *dice.sample(_LATIN, 2)]
    colour = dice.choice(_COLOURS)
    document = {
        "categoryId": 1003000 + number % 200,
        "spu": {
            "name": f"{words[0]}{words[1]} {words[2]} {number}",
            "brandId": 2000 + number % 300,
            "description": f"{dice.choice(_CHINESE)}纪念品,{words[3]} with {dice.choice(_LATIN)}, 适合收藏和赠送亲友。",
        },
        "basicAttributes": [{"attributeId": 102, "attributeName": "材质", "value": dice.choice(_LATIN)}],
        "skus": [
            {
                "skuName": f"{colour} M", "price": dice.randrange(100, 99_999) / 100, "stock": 10,
                "salesAttributes": [{"attributeId": 201, "attributeName": "颜色", "value": colour}],
            }
        ],
    }  # fmt: skip
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"


async def _body(numbers: range) -> AsyncIterator[bytes]:
    for first in range(numbers.start, numbers.stop, 200):
        yield b"".join(_line(number) for number in range(first, min(first + 200, numbers.stop)))


class _Operator:
    """Bulk imports as the catalogue's operator."""

    def __init__(self, world: World) -> None:
        keys = json.loads((world.settings.data_dir / "keys.json").read_text())
        headers = {"Authorization": f"Bearer {keys['operators']['opr_catalogue']}"}
        self.http = httpx2.AsyncClient(base_url=world.settings.api_url, headers=headers, timeout=600, trust_env=False)

    async def send(self, numbers: range) -> str:
        """The import's address."""
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": secrets.token_hex(8)}
        answer = await self.http.post("/v1/catalog-imports", content=_body(numbers), headers=headers)
        if answer.status_code != 202:
            raise NotAsExpected("the bulk import", Reply(answer.status_code, answer.content))
        return str(answer.headers["Location"])

    async def read(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get(path)).raise_for_status().json()
        return found

    async def until(self, path: str, created: int) -> None:
        """Until so many are created. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.read(path))["created"] < created:  # noqa: ASYNC110 - the API is asked, as clients do
                await asyncio.sleep(0.2)


async def bulk_import(world: World, products: int = PRODUCTS) -> list[Result]:
    """All lines over HTTP until the last is a product; and an import that goes on after its worker was killed."""
    operator = _Operator(world)
    async with operator.http:
        yardstick_s = await _bare_copy(world, range(products))
        before = {part: _rss(world, part) for part in PARTS}
        peaks = dict(before)
        watching = asyncio.create_task(_watch(world, peaks))
        began = time.perf_counter()
        path = await operator.send(range(products))
        received_s = time.perf_counter() - began
        await operator.until(path, products)
        wall_s = time.perf_counter() - began
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        took_s = await _killed_in_the_middle(world, operator, products // KILLED_SHARE, start_at=products)
    name = "bulk import"
    return [
        Result(name, f"products of {products:,} lines", "rows/s", products / wall_s, products / yardstick_s),
        Result(name, "receiving the body", "rows/s", products / received_s, products / yardstick_s),
        *(Result(name, f"{part}: memory gained at most", "MiB", (peaks[part] - before[part]) / MIB) for part in PARTS),
        Result(name, "goes on after kill -9, each row once", "s", took_s),
    ]


async def _bare_copy(world: World, numbers: range) -> float:
    """The yardstick: the same lines into a table of one column; seconds."""
    lines = [chunk async for chunk in _body(numbers)]
    async with world.database.transaction() as cx:
        await cx.execute("CREATE TEMPORARY TABLE bare (line BYTEA) ON COMMIT DROP")
        began = time.perf_counter()
        async with cx.cursor() as cursor, cursor.copy("COPY bare FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["bytea"])
            for chunk in lines:
                for line in chunk.splitlines():
                    await copy.write_row((line,))
        return time.perf_counter() - began


async def _killed_in_the_middle(world: World, operator: _Operator, lines: int, start_at: int) -> float:
    """Seconds from the kill to the last product. Raises NotAsExpected where one is missing or there twice."""
    path = await operator.send(range(start_at, start_at + lines))
    await operator.until(path, 1)
    world.stack.kill("worker-1")
    began = time.perf_counter()
    while "worker-1" in world.stack.pids:  # noqa: ASYNC110 - no event tells us
        await asyncio.sleep(0.05)
    left = (await operator.read(path))["waiting"]
    await world.stack.start_part("worker-1")
    world.processes["worker-1"] = psutil.Process(world.stack.pids["worker-1"])
    await operator.until(path, lines)
    took_s = time.perf_counter() - began
    actor = f"%/import/{path.rpartition('/')[2]}"
    async with world.database.reading() as cx:
        cursor = await cx.execute(
            "SELECT count(*) AS logged, count(DISTINCT subject_id) AS products FROM operation_log "
            "WHERE actor LIKE %s AND action = 'product.import'",
            (actor,),
        )
        found = await cursor.fetchone()
    if not left or found != {"logged": lines, "products": lines}:
        raise NotAsExpected("the killed import", Reply(0, json.dumps({"left": left, "found": found}).encode()))
    return took_s


def _rss(world: World, part: str) -> int:
    return int(world.processes[part].memory_info().rss)


async def _watch(world: World, peaks: dict[str, int]) -> None:
    while True:
        for part in PARTS:
            peaks[part] = max(peaks[part], _rss(world, part))
        await asyncio.sleep(0.2)


async def search(world: World, products: int = PRODUCTS) -> list[Result]:
    """Questions of all kinds over the API, one after another and eight at once; the yardstick reads one product."""
    await _stock_the_shelf(world, products)
    questions = [_question(number, products) for number in range(SEARCHES)]

    async def ask(number: int) -> None:
        reply = await world.api.get(f"/v1/products/search?{urlencode(questions[number % SEARCHES])}")
        if reply.status != 200:
            raise NotAsExpected("a search", reply)

    product_id = (await world.api.get("/v1/products?limit=1")).json()["data"][0]["id"]

    async def read(_: int) -> None:
        reply = await world.api.get(f"/v1/products/{product_id}")
        if reply.status != 200:
            raise NotAsExpected("reading a product", reply)

    await drive(50, 4, ask)
    await drive(50, 4, read)
    found = []
    for at_once in (1, 8):
        ours, yardstick = await drive(SEARCHES, at_once, ask), await drive(SEARCHES, at_once, read)
        for percent in (50, 95):
            figure = f"p{percent} over {products:,} products, {at_once} at once"
            measured = ours.percentile_ms(percent), yardstick.percentile_ms(percent)
            found.append(Result("search", figure, "ms", *measured))
    by_index = [await _by_index(world, text) for text in ("青铜器 museum", "丝绸", "bronze jade", str(products // 2))]
    found.append(
        Result("search", "questions whose plan uses the index of words", "share", sum(by_index) / len(by_index))
    )
    return found


def _question(number: int, products: int) -> dict[str, str]:
    """By turns: two words of two scripts, one with a filter, a number, a category, a narrow price."""
    dice = random.Random(number)
    chinese, latin, colour = dice.choice(_CHINESE), dice.choice(_LATIN), dice.choice(_COLOURS)
    low = dice.randrange(100, 90_000)
    shapes: tuple[dict[str, str], ...] = (
        {"q": f"{chinese} {latin}"},
        {"q": chinese, "attribute": f"颜色:{colour}"},
        {"q": f"{latin} {dice.randrange(products)}"},
        {"q": latin, "category_id": str(1003000 + dice.randrange(200))},
        {"q": chinese, "price_min": str(low), "price_max": str(low + 500)},
    )
    return shapes[number % len(shapes)]


async def _stock_the_shelf(world: World, products: int) -> None:
    """At least so many products for every distributor to find."""
    async with world.database.reading() as cx:
        row = await (await cx.execute("SELECT count(*) AS n FROM products")).fetchone()
    operator = _Operator(world)
    async with operator.http:
        if row is None or row["n"] < products:
            path = await operator.send(range(10 * products, 11 * products))
            await operator.until(path, products)
    async with world.database.reading() as cx:
        await cx.execute("UPDATE products SET status = %s, version = version + 1", (ProductStatus.ON_SHELF,))
        # one at a time, outside of a transaction
        await cx.execute("VACUUM ANALYZE products")
        for table in ("product_search", "skus", "prices"):
            await cx.execute(f"VACUUM ANALYZE {table}".encode())


async def _by_index(world: World, text: str) -> bool:
    async with world.database.transaction() as cx:
        await cx.execute("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")
        asked, everything = Search(datetime.now(UTC), text), Visibility(statuses=(ProductStatus.ON_SHELF,))
        statement, values = await catalog_search.statement_of(cx, asked, everything, after=None, limit=21)
        rows = await (await cx.execute(f"EXPLAIN {statement}".encode(), values)).fetchall()
    return any("product_search_words" in str(row["QUERY PLAN"]) for row in rows)
