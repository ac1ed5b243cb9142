"""The demo on a fresh stack: small, and judged by what it judges itself by."""

from __future__ import annotations

import json
import os
from pathlib import Path

from demo.characters import KINDS
from demo.command import demo
from demo.outcome import OUTCOMES
from demo.tills import CHANNELS
from demo.wishes import FAMILIES
from embedded.stack import StackOptions
from settings import Settings

SEED = int(os.environ.get("SEED", "7"))
ORDERS = 110


async def test_a_small_demo_meets_every_fault_and_loses_and_doubles_nothing(tmp_path: Path) -> None:
    options = StackOptions(usual_ports=False, postgres_settings={"shared_buffers": "64MB"})
    code = await demo(Settings(data_dir=tmp_path), SEED, ORDERS, options=options)
    told = json.loads((tmp_path / "demo.json").read_text())
    assert (code, told["failures"]) == (0, []), f"seed {SEED}: {told}"
    assert (told["doubles"], told["dropped"], told["violations"]) == (0, 0, 0)
    assert told["placed"] == ORDERS == sum(told[outcome] for outcome in OUTCOMES)
    assert all(told["faults_hit"][kind] > 0 for kind in KINDS)
    assert told["flows_equal_table"]
    assert told["lines"].keys() == FAMILIES.keys()
    assert all(ends["issued"] for ends in told["lines"].values())
    assert told["codes"]["twice"] == 0
    parcels = told["parcels"]
    assert parcels["sent"] == parcels["delivered"] + parcels["written off"]
    promotions = told["promotions"]
    assert 0 < promotions["coupon_uses"] <= promotions["coupon_limit"]
    assert promotions["orders_with_discount"] > 0
    money = told["money"]
    assert money["charged_minor"] == money["served_minor"] + money["refunded_minor"] > money["served_minor"] > 0
    assert money["in_the_queue_minor"] == 0
    lost, late, twice = (money["channel_faults"][f"callback_{kind}"] for kind in ("lost", "late", "twice"))
    assert min(lost, late, twice) >= len(CHANNELS)
    titles = {story["title"] for story in told["stories"]}
    assert {"late, served by a successor", "paid twice", "a wrong amount", "an unknown pay order"} <= titles
