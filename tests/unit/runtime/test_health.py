"""Readiness, and the three pages that tell of it."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from starwake.runtime.health import Health
from starwake.runtime.health_server import HealthServer


@pytest.fixture
async def served() -> AsyncIterator[tuple[Health, httpx.AsyncClient]]:
    registry = CollectorRegistry()
    Counter("starwake_things", "Things", registry=registry).inc(3)
    health = Health()
    server = HealthServer(health, registry)
    port = await server.start("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        yield health, http
    await server.stop()


def test_a_service_starts_out_not_ready() -> None:
    assert Health().readiness().reasons == {"service": "starting"}


def test_it_is_ready_when_it_says_so_and_no_check_objects() -> None:
    health = Health()
    trouble: list[str] = ["disconnected"]
    health.add_check("bus", lambda: trouble[0] if trouble else None)
    health.set_ready(True)
    assert health.readiness().reasons == {"bus": "disconnected"}
    trouble.clear()
    assert health.readiness().ready


async def test_readyz_tells_why_not_and_healthz_does_not_care(served: tuple[Health, httpx.AsyncClient]) -> None:
    health, http = served
    answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (503, {"service": "starting"})
    assert (await http.get("/healthz")).status_code == 200
    health.set_ready(True)
    assert (await http.get("/readyz?verbose")).json() == {"ready": True, "reasons": {}}


async def test_metrics_are_in_prometheus_own_format(served: tuple[Health, httpx.AsyncClient]) -> None:
    answer = await served[1].get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "starwake_things_total 3.0" in answer.text


async def test_other_paths_and_methods_are_refused(served: tuple[Health, httpx.AsyncClient]) -> None:
    _, http = served
    assert (await http.get("/")).status_code == 404
    assert (await http.post("/readyz")).status_code == 405
    assert (await http.head("/healthz")).text == ""


async def test_garbage_and_oversized_requests_end_the_connection_alone(
    served: tuple[Health, httpx.AsyncClient],
) -> None:
    _, http = served
    port = http.base_url.port
    for rubbish in (b"\x00\xff\r\n\r\n", b"GET /" + b"x" * 20_000 + b"\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(rubbish)
        try:
            assert b" 200 " not in await asyncio.wait_for(reader.read(), 5)
        except ConnectionResetError:
            continue
        finally:
            writer.close()
    assert (await http.get("/healthz")).status_code == 200
