"""The AsyncAPI document: fresh, valid by the AsyncAPI project's own parser, complete, and true of real frames."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId
from starwake.contracts.reasons import CloseCode, ErrorCode
from starwake.gateway import protocol_document
from tests.contract.gateway.conftest import Gateway
from tests.support.node import node_environment, node_folder, npm_install

HERE = Path(__file__).parent / "asyncapi"
DOCUMENT = json.loads(protocol_document.rendered())


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]})


def test_the_stored_document_is_what_the_contracts_say() -> None:
    assert protocol_document.main(["--check"]) == 0


def test_the_asyncapi_parser_finds_nothing_wrong_with_it() -> None:
    if not (HERE / "node_modules" / "@asyncapi" / "parser").exists():
        npm_install(HERE, timeout_s=110)
    command = [str(node_folder() / "node"), "validate.mjs", str(protocol_document.PATH)]
    run = subprocess.run(
        command, cwd=HERE, env=node_environment(), check=False, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr


def test_every_code_has_its_meaning() -> None:
    assert set(protocol_document.CLOSE_MEANINGS) == set(CloseCode)
    assert set(protocol_document.ERROR_MEANINGS) == set(ErrorCode)


def test_every_subject_that_the_contracts_build_is_a_channel() -> None:
    ada = PlayerId("ada")
    built = {
        subjects.notify(ada),
        subjects.notify(None),
        subjects.push(ada),
        subjects.push(None),
        subjects.revoked(ada),
        subjects.control(ada, "revoke"),
        subjects.control(ada, "connected"),
        subjects.control(ada, "present"),
    }
    addresses = {channel["address"].replace("{player}", "ada") for channel in DOCUMENT["channels"].values()}
    assert built <= addresses


async def test_the_frames_of_a_real_session_are_what_the_document_says(
    gateway: Gateway, unique_player: Callable[[], str]
) -> None:
    player = unique_player()
    ada = await gateway.connect(player)
    await gateway.push(player)
    await gateway.push(None)
    frames: list[tuple[str, dict[str, Any]]] = [
        ("Hello", ada.hello),
        ("Push", await ada.frame()),
        ("PushToAll", await ada.frame()),
        ("Reply", await ada.ask("time")),
        ("ErrorFrame", await ada.ask("nonsense")),
    ]
    for name, frame in frames:
        problems = [error.message for error in validator(name).iter_errors(frame)]  # pyright: ignore[reportUnknownMemberType] - untyped
        assert problems == [], name


async def test_the_gateway_serves_it_readably(gateway: Gateway) -> None:
    base = f"http://127.0.0.1:{gateway.process.port}"
    async with httpx.AsyncClient(base_url=base, trust_env=False) as http:
        page = await http.get("/docs/protocol")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        for word in ("build.start", "4504", "rate_limited", "dragons.arrived", "cmd.{player}.{command}"):
            assert word in page.text
        assert "<script" not in page.text
        assert " style=" not in page.text
        assert (await http.get("/docs/protocol.css")).headers["content-type"].startswith("text/css")
        assert (await http.get("/docs/asyncapi.json")).json() == DOCUMENT
        openapi = (await http.get("/openapi.json")).json()
    assert set(openapi["paths"]) == {"/dev/token", "/docs/protocol", "/docs/asyncapi.json"}
