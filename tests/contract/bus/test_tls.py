"""TLS and nkeys, on both event loops: what reads and writes below nats-py's client is ours."""

import asyncio
import datetime as dt
import ipaddress
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import nkeys
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from starwake.bus.connection import Bus, BusOptions
from starwake.bus.errors import BusUnavailable
from starwake.bus.options import options_from
from starwake.cli.embedded.nats import nats_server_binary
from starwake.cli.embedded.ports import free_ports
from starwake.cli.embedded.probes import probe
from starwake.runtime.settings import BusSettings
from tests.support.eventually import eventually

SEED = b"SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU"
"""A user's seed that nkeys' own tests publish."""


def make_certificate(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nats")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, key_pem = directory / "cert.pem", directory / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, key_pem


class GuardedServer:
    """A server that takes TLS and one nkey only; `tls_first`: and says nothing before the handshake."""

    def __init__(self, directory: Path, *, tls_first: bool = False) -> None:
        self._tls_first = tls_first
        self.certificate, key = make_certificate(directory)
        self.seed = directory / "user.nk"
        self.seed.write_bytes(SEED)
        (port,) = free_ports(1)
        self.url = f"tls://127.0.0.1:{port}"
        public = cast("bytes", nkeys.from_seed(bytearray(SEED)).public_key).decode()  # pyright: ignore[reportUnknownMemberType] - untyped
        self._config = directory / "nats.json"
        self._config.write_text(
            json.dumps(
                {
                    "listen": f"127.0.0.1:{port}",
                    "tls": {"cert_file": str(self.certificate), "key_file": str(key), "handshake_first": tls_first},
                    "authorization": {"users": [{"nkey": public}]},
                }
            )
        )

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            str(nats_server_binary()), "-c", str(self._config), stderr=asyncio.subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def options(self) -> BusOptions:
        settings = BusSettings(
            nats_url=self.url, nats_tls_ca=self.certificate, nkey_seed_file=self.seed, nats_tls_first=self._tls_first
        )
        return options_from(settings, name="test")


@pytest.fixture
def guarded(tmp_path: Path) -> GuardedServer:
    return GuardedServer(tmp_path)


@pytest.mark.parametrize("tls_first", [False, True], ids=["", "tls_first"])
@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
async def test_large_and_small_messages_pass_over_tls_and_over_a_kill(
    tmp_path: Path, loop_factory: Callable[[], asyncio.AbstractEventLoop], *, tls_first: bool
) -> None:
    guarded = GuardedServer(tmp_path, tls_first=tls_first)

    async def story() -> None:
        async with guarded.running() as server:
            bus = await Bus.connect(guarded.options())
            assert await probe(guarded.url)
            await bus.subscribe("echo", lambda message: bus.publish(message.reply, message.payload))
            for size in (0, 1, 100_000, 900_000):
                answer = await bus.request("echo", b"x" * size, timeout_s=10)
                assert len(answer.payload) == size
            answers = await asyncio.gather(*[bus.request("echo", b"%d" % n, timeout_s=10) for n in range(500)])
            assert [answer.payload for answer in answers] == [b"%d" % n for n in range(500)]
            server.kill()
            await server.wait()
            await eventually(lambda: not bus.connected)
        async with guarded.running():
            await eventually(lambda: bus.connected)
            assert (await bus.request("echo", b"again", timeout_s=10)).payload == b"again"
            await bus.close()

    def run() -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(story())

    await asyncio.to_thread(run)


async def test_a_certificate_of_a_stranger_is_refused(guarded: GuardedServer) -> None:
    async with guarded.running():
        with pytest.raises(BusUnavailable, match=r"(?i)certificate"):
            await Bus.connect(BusOptions(url=guarded.url, nkey_seed_file=str(guarded.seed)), timeout_s=1)


async def test_a_stranger_is_refused(guarded: GuardedServer) -> None:
    async with guarded.running():
        options = BusOptions(url=guarded.url, tls_ca_file=str(guarded.certificate))
        with pytest.raises(BusUnavailable, match=r"(?i)authorization"):
            await Bus.connect(options, timeout_s=1)
