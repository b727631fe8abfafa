"""Where the keys come from that tokens are verified with: a shared secret, or a JWKS (RFC 7517) from a file or URL.

Each key is loaded with the algorithms that it may be used with; a token's header only selects among keys.
"""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import jwt
import msgspec

from starwake.gateway.settings import MIN_SECRET_BYTES
from starwake.runtime.logs import get_logger

_log = get_logger("gateway.keys")

REFRESH_INTERVAL_S: Final = 300.0
"""Between two fetches of a key set, beside the tokens' way: a provider that is slow or down delays nobody."""

MIN_FETCH_INTERVAL_S: Final = 10.0
"""Between two fetches for unknown key ids: whoever invents ids must not turn the gateway against the provider."""

FETCH_TIMEOUT_S: Final = 5.0
MAX_JWKS_BYTES: Final = 1_048_576
_MIN_RSA_BITS: Final = 2048
_CURVE_ALGORITHMS: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA", "Ed448": "EdDSA"}
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})
_RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


class KeysUnavailable(Exception):  # noqa: N818 - the protocol's word
    """The key set cannot be fetched at the moment and none of the keys held fits."""


class VerificationKey(NamedTuple):
    """A key, its id if it has one, and the only algorithm that it verifies; `material` is prepared for exactly that."""

    kid: str | None
    algorithm: str
    material: jwt.PyJWK

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `signed`."""
        try:
            return self.material.Algorithm.verify(signed, self.material.key, signature)
        except (ValueError, TypeError):  # what hostile signatures can still raise inside the library
            return False


class KeySource(Protocol):
    """Something that knows keys."""

    def keys_at_hand(self, algorithm: str, kid: str | None) -> Sequence[VerificationKey] | None:
        """As `keys_for`, at once; None where the keys have to be fetched first."""
        ...

    async def keys_for(self, algorithm: str, kid: str | None) -> Sequence[VerificationKey]:
        """The keys that may have signed a token whose header says so; empty for none.

        Raises:
            KeysUnavailable: no key that is held fits, and the provider, which may have a newer one, did not answer.
        """
        ...

    async def refresh(self) -> None:
        """Load the keys again, so that withdrawn ones stop working; keeps them where that fails."""
        ...


class SharedSecret:
    """One HS256 secret."""

    def __init__(self, secret: str) -> None:
        """The secret, at least 32 bytes.

        Raises:
            ValueError: it is shorter.
        """
        material = secret.encode()
        if len(material) < MIN_SECRET_BYTES:
            raise ValueError(f"an HS256 secret needs at least {MIN_SECRET_BYTES} bytes (RFC 7518, 3.2)")
        encoded = base64.urlsafe_b64encode(material).rstrip(b"=").decode()
        self._keys = (VerificationKey(None, "HS256", jwt.PyJWK({"kty": "oct", "k": encoded}, "HS256")),)

    def keys_at_hand(self, algorithm: str, kid: str | None) -> Sequence[VerificationKey]:  # noqa: ARG002 - one secret
        """The secret for HS256, nothing for any other algorithm."""
        return self._keys if algorithm == "HS256" else ()

    async def keys_for(self, algorithm: str, kid: str | None) -> Sequence[VerificationKey]:
        """The same."""
        return self.keys_at_hand(algorithm, kid)

    async def refresh(self) -> None:
        """A secret from the settings stays what it is."""


class KeySet:
    """A JWKS that is loaded when first needed, when a token names an unknown key, and by `refresh`.

    While it cannot be loaded again the keys held go on counting: the provider being down ends nobody's game.
    """

    def __init__(self, load: Callable[[], Awaitable[bytes]], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._clock = clock
        self._keys: tuple[VerificationKey, ...] = ()
        self._up_to_date = False
        self._tried_at: float | None = None
        self._loading = asyncio.Lock()

    def keys_at_hand(self, algorithm: str, kid: str | None) -> Sequence[VerificationKey] | None:
        """The keys of the set that fit algorithm and key id; None where a newer set may have one."""
        if algorithm not in _RSA_ALGORITHMS and algorithm not in _CURVE_ALGORITHMS.values():
            return ()
        return self._find(algorithm, kid) or None

    async def keys_for(self, algorithm: str, kid: str | None) -> Sequence[VerificationKey]:
        """The keys of the set that fit algorithm and key id, after another look at its source where none does."""
        found = self.keys_at_hand(algorithm, kid)
        if found is None:
            await self._reload(MIN_FETCH_INTERVAL_S)
            found = self._find(algorithm, kid)
            if not found and not self._up_to_date:
                raise KeysUnavailable("the keys that tokens are signed with cannot be fetched at the moment")
        return found

    def _find(self, algorithm: str, kid: str | None) -> list[VerificationKey]:
        return [key for key in self._keys if algorithm == key.algorithm and (kid is None or key.kid in (None, kid))]

    async def refresh(self) -> None:
        """Load the set again; the gateway does so every `REFRESH_INTERVAL_S`."""
        await self._reload(0.0)

    async def _reload(self, apart_s: float) -> None:
        async with self._loading:
            # Whoever waited here meanwhile finds the set that the first one has fetched.
            if self._tried_at is not None and self._clock() - self._tried_at < apart_s:
                return
            self._tried_at = self._clock()
            try:
                self._keys = parse_jwks(await self._load())
            except (OSError, ValueError) as error:  # a TimeoutError is an OSError, a DecodeError a ValueError
                _log.warning("jwks.unavailable", error=f"{type(error).__name__}: {error}", keys_held=len(self._keys))
                self._up_to_date = False
                return
            self._up_to_date = True
            _log.info("jwks.loaded", keys=len(self._keys))


def key_set_from_file(path: Path) -> KeySet:
    """A JWKS in a file, read again like a fetched one, so that rotating it needs no restart."""

    async def load() -> bytes:
        return await asyncio.to_thread(path.read_bytes)

    return KeySet(load)


def key_set_from_url(url: str) -> KeySet:
    """A JWKS at an https (or, on a trusted network, http) URL."""

    async def load() -> bytes:
        import httpx  # noqa: PLC0415 - a quarter of a second that only gateways with a URL pay

        try:
            async with (
                asyncio.timeout(FETCH_TIMEOUT_S),
                httpx.AsyncClient(timeout=FETCH_TIMEOUT_S, follow_redirects=False) as client,
                client.stream("GET", url, headers={"accept": "application/json"}) as response,
            ):
                response.raise_for_status()
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_JWKS_BYTES:
                        raise ValueError(f"the JWKS is larger than {MAX_JWKS_BYTES} bytes")
                return bytes(body)
        except httpx.HTTPError as error:
            raise OSError(f"{type(error).__name__}: {error}") from error

    return KeySet(load)


class _Jwks(msgspec.Struct):
    keys: list[dict[str, Any]]


def parse_jwks(document: bytes) -> tuple[VerificationKey, ...]:
    """The public signature keys in a JWKS; entries of other kinds and uses are passed over (RFC 7517, 5).

    Raises:
        ValueError: it is not a JWKS.
    """
    keys: list[VerificationKey] = []
    for entry in msgspec.json.decode(document, type=_Jwks).keys:
        key = _parse_key(entry)
        if key is not None:
            keys.append(key)
    return tuple(keys)


def _parse_key(entry: dict[str, Any]) -> VerificationKey | None:
    # Symmetric keys have no place in a public document: whoever can read it could sign.
    if entry.get("kty") not in ("RSA", "EC", "OKP") or entry.get("use", "sig") != "sig":
        return None
    operations: Any = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    algorithm = _algorithm(entry)
    if algorithm is None:
        return None
    # Published by mistake, private members would make a key that signs; only the public half is of use here.
    public = {name: value for name, value in entry.items() if name not in _PRIVATE_MEMBERS}
    try:
        material = jwt.PyJWK(public, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        _log.warning("jwks.key_refused", kid=str(entry.get("kid"))[:64], error=type(error).__name__)
        return None
    if entry["kty"] == "RSA" and material.key.key_size < _MIN_RSA_BITS:
        _log.warning("jwks.key_refused", kid=str(entry.get("kid"))[:64], error="shorter than 2048 bits")
        return None
    kid = entry.get("kid")
    return VerificationKey(kid if isinstance(kid, str) else None, algorithm, material)


def _algorithm(entry: dict[str, Any]) -> str | None:
    """The one that this key verifies: what it names, if that fits its type; else what its type is used with."""
    if entry["kty"] == "RSA":
        named = entry.get("alg", "RS256")
        return named if named in _RSA_ALGORITHMS else None
    fitting = _CURVE_ALGORITHMS.get(str(entry.get("crv")))
    return fitting if entry.get("alg", fitting) == fitting else None
