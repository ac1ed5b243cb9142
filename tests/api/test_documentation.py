"""The contract as people meet it: committed, complete in words and examples, shown without the internet."""

from __future__ import annotations

import json
import re
from difflib import unified_diff
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from api import contract
from api.codes import CATALOGUE
from domain.supplier_catalog import derived_id

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def test_the_committed_contract_is_the_applications(document: dict[str, Any]) -> None:
    now = contract.rendered(document)
    difference = unified_diff(
        COMMITTED.read_text().splitlines(), now.splitlines(), "committed", "now", lineterm="", n=2
    )
    assert not (shown := "\n".join(difference)), f"write it anew by `tessera openapi`, if this is meant:\n{shown}"


def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")


def test_every_operation_explains_itself(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    for key, operation in contract.operations(document):
        assert operation["summary"], key
        assert operation["description"], key
        assert set(operation["tags"]) <= tags, key
        assert "500" in operation["responses"], key


def test_every_parameter_is_described_and_what_is_needed_has_an_example(document: dict[str, Any]) -> None:
    for key, operation in contract.operations(document):
        for parameter in operation.get("parameters", ()):
            where = (*key, parameter["name"])
            assert parameter.get("description"), where
            if parameter["required"]:
                assert "example" in parameter or "examples" in parameter["schema"], where


def test_every_body_has_an_example(document: dict[str, Any]) -> None:
    for key, operation in contract.operations(document):
        if "requestBody" in operation:
            (content,) = operation["requestBody"]["content"].values()
            name = content["schema"].get("$ref", "").rpartition("/")[2]
            shape = document["components"]["schemas"].get(name, {})
            assert "example" in content or "examples" in shape, key


def test_examples_use_the_ids_of_the_sample_data() -> None:
    assert derived_id("prd", "NG-PASS") == contract.PASS
    assert derived_id("sku", "NG-PASS", "DEFAULT", "adult") == contract.PASS_ADULT
    assert derived_id("sku", "NG-BRONZE", "DEFAULT", "adult") == contract.OWN_QUOTA
    assert derived_id("prd", "seed", "paper-lantern") == contract.DRAFT
    assert derived_id("sku", derived_id("prd", "seed", "audio-guide"), "0") == contract.AUDIO_GUIDE
    assert derived_id("off", "parcel", "swift") == contract.CARRIED


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in contract.operations(document)]
    assert len(ids) == len(set(ids)) > 50


async def test_the_docs_page_loads_nothing_from_elsewhere(api: AsyncClient) -> None:
    page = await api.get("/docs")
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) == 3
    for asset in assets:
        assert asset.startswith("/docs/assets/")
        answer = await api.get(asset)
        assert answer.status_code == 200
        assert len(answer.content) > 500
    assert "https://" not in page.text


async def test_no_other_file_is_an_asset(api: AsyncClient) -> None:
    for name in ("../__init__.py", "%2e%2e%2f__init__.py", "main.py", "__init__.py"):
        answer = await api.get(f"/docs/assets/{name}")
        assert answer.status_code in (404, 422), name


@pytest.mark.parametrize("code", [*CATALOGUE, "something_new"])
async def test_every_code_has_a_page_for_people_and_a_document_for_programs(api: AsyncClient, code: str) -> None:
    page = await api.get(f"/errors/{code}", headers={"Accept": "text/html,application/xhtml+xml;q=0.9"})
    assert "text/html" in page.headers["content-type"]
    assert f"<code>{code}</code>" in page.text
    answer = await api.get(f"/errors/{code}")
    assert answer.json()["code"] == code


async def test_the_catalogue_of_codes_is_a_page_too(api: AsyncClient) -> None:
    page = await api.get("/errors", headers={"Accept": "text/html"})
    assert all(f"/errors/{code}" in page.text for code in CATALOGUE)
    assert json.loads((await api.get("/errors")).text)[0]["code"] in CATALOGUE
