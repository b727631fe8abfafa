"""Tokens and the keys that they are verified with, the classic attacks among them."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from starwake.gateway import keys as keys_module
from starwake.gateway.auth import MAX_TOKEN_CHARACTERS, Authenticator, Identity, TokenRefused
from starwake.gateway.keys import (
    MIN_FETCH_INTERVAL_S,
    KeySet,
    KeysUnavailable,
    SharedSecret,
    key_set_from_file,
    parse_jwks,
)

SECRET = "unit-tests-secret-of-at-least-32-bytes"  # noqa: S105 - only these tests know it
RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def jwk(key: Key, kid: str | None, **members: object) -> dict[str, Any]:
    match key:
        case rsa.RSAPrivateKey():
            public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case ec.EllipticCurvePrivateKey():
            public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case _:
            public = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**public, "use": "sig", **({} if kid is None else {"kid": kid}), **members}


JWKS = json.dumps({"keys": [jwk(RSA_KEY, "rsa"), jwk(EC_KEY, "ec"), jwk(ED_KEY, "ed")]}).encode()


def claims(**changes: object) -> dict[str, Any]:
    now = time.time()
    all_claims = {"sub": "ada", "iat": now, "exp": now + 60, **changes}
    return {name: value for name, value in all_claims.items() if value is not None}


def signed(payload: dict[str, Any] | None = None, **changes: object) -> str:
    return jwt.encode(claims(**changes) if payload is None else payload, SECRET, algorithm="HS256")


def by_secret(**options: str) -> Authenticator:
    return Authenticator([SharedSecret(SECRET)], **options)  # type: ignore[arg-type]  # only issuer and audience are passed


def by_keys(document: bytes = JWKS) -> Authenticator:
    async def load() -> bytes:
        return document

    return Authenticator([KeySet(load)])


async def refusal(authenticator: Authenticator, token: str) -> str:
    with pytest.raises(TokenRefused) as refused:
        await authenticator.identify(token)
    assert token not in str(refused.value)
    return str(refused.value)


def raw_token(header: object, payload: object, signature: bytes = b"") -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part(header)}.{part(payload)}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


# --- tokens that hold --------------------------------------------------------------------------------------------


async def test_a_token_says_who_plays_until_when_and_since_when() -> None:
    payload = claims()
    identity = await by_secret().identify(signed(payload))
    assert identity == Identity("ada", payload["exp"], payload["iat"])  # type: ignore[arg-type]  # a plain string will do


@pytest.mark.parametrize(
    ("key", "kid", "algorithm"), [(RSA_KEY, "rsa", "RS256"), (EC_KEY, "ec", "ES256"), (ED_KEY, "ed", "EdDSA")]
)
async def test_each_kind_of_key_in_a_jwks_verifies_its_tokens(key: Key, kid: str, algorithm: str) -> None:
    token = jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": kid})
    assert (await by_keys().identify(token)).player == "ada"


async def test_a_token_without_a_key_id_is_tried_with_every_key_that_fits() -> None:
    document = json.dumps({"keys": [jwk(OTHER_RSA_KEY, "one"), jwk(RSA_KEY, "two")]}).encode()
    assert (await by_keys(document).identify(jwt.encode(claims(), RSA_KEY, algorithm="RS256"))).player == "ada"


async def test_secret_and_key_set_may_stand_side_by_side() -> None:
    async def load() -> bytes:
        return JWKS

    both = Authenticator([SharedSecret(SECRET), KeySet(load)])
    assert (await both.identify(signed())).player == "ada"
    assert (await both.identify(jwt.encode(claims(), RSA_KEY, algorithm="RS256"))).player == "ada"


async def test_issuer_and_audience_are_checked_when_configured() -> None:
    strict = by_secret(issuer="https://id.example", audience="starwake")
    good = signed(iss="https://id.example", aud=["other", "starwake"])
    assert (await strict.identify(good)).player == "ada"
    assert "issuer" in await refusal(strict, signed(iss="https://evil.example", aud="starwake"))
    assert "audience" in await refusal(strict, signed(iss="https://id.example", aud="shop"))
    await refusal(strict, signed(iss="https://id.example"))
    await refusal(strict, signed(aud="starwake"))


async def test_an_audience_nobody_configured_is_no_reason_to_refuse() -> None:
    assert (await by_secret().identify(signed(aud="whatever", iss="whoever"))).player == "ada"


async def test_clocks_may_differ_by_30_seconds_for_what_is_not_valid_yet() -> None:
    now = time.time()
    assert (await by_secret().identify(signed(nbf=now + 25, iat=now + 25))).player == "ada"


@pytest.mark.parametrize("player", ["a", "ä" * 127, "ada.*>", " ", "\u0001", "..", "🛸"])
async def test_any_text_of_at_most_255_bytes_may_be_a_player(player: str) -> None:
    assert (await by_secret().identify(signed(sub=player))).player == player


# --- attacks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
async def test_the_algorithm_none_never_works(algorithm: str) -> None:
    token = raw_token({"alg": algorithm, "typ": "JWT"}, claims())
    await refusal(by_secret(), token)
    await refusal(by_keys(), token)


@pytest.mark.parametrize("form", [serialization.Encoding.PEM, serialization.Encoding.DER])
async def test_hs256_signed_with_the_public_key_does_not_hold(form: serialization.Encoding) -> None:
    public = RSA_KEY.public_key().public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)
    await refusal(by_keys(), hs256(claims(), public))
    await refusal(by_keys(), hs256(claims(), public, kid="rsa"))


async def test_a_token_cannot_choose_another_algorithm_than_its_keys() -> None:
    token = jwt.encode(claims(), RSA_KEY, algorithm="RS512", headers={"kid": "rsa"})
    await refusal(by_keys(), token)
    await refusal(by_secret(), jwt.encode(claims(), SECRET * 2, algorithm="HS512"))


async def test_a_key_in_the_tokens_own_header_is_not_believed() -> None:
    header = {
        "jwk": jwk(OTHER_RSA_KEY, "rsa"),
        "kid": "rsa",
        "jku": "https://evil.example/jwks.json",
        "x5u": "https://evil",
    }
    await refusal(by_keys(), jwt.encode(claims(), OTHER_RSA_KEY, algorithm="RS256", headers=header))


@pytest.mark.parametrize("kid", ["../../../../dev/null", "/etc/passwd", "rsa' OR '1'='1", "x" * 5000, "\u0000", ""])
async def test_a_key_id_is_only_ever_compared(kid: str) -> None:
    await refusal(by_keys(), hs256(claims(), b"", kid=kid))
    await refusal(by_keys(), jwt.encode(claims(), OTHER_RSA_KEY, algorithm="RS256", headers={"kid": kid}))


async def test_an_expired_token_does_not_hold() -> None:
    assert "expired" in await refusal(by_secret(), signed(exp=time.time() - 1))


async def test_a_token_that_is_not_valid_yet_does_not_hold() -> None:
    assert "not valid yet" in await refusal(by_secret(), signed(nbf=time.time() + 40))
    assert "not valid yet" in await refusal(by_secret(), signed(iat=time.time() + 40))


@pytest.mark.parametrize("sub", [None, "", "x" * 256, "ä" * 128, 5, ["ada"], {"a": 1}, True, "a\u0000b"])
async def test_a_token_without_a_proper_sub_does_not_hold(sub: object) -> None:
    await refusal(by_secret(), hs256(claims(sub=sub)))


@pytest.mark.parametrize("exp", [None, "tomorrow", "9999999999", True, -5, 1e300, [1], {}])
async def test_a_token_without_a_proper_exp_does_not_hold(exp: object) -> None:
    await refusal(by_secret(), hs256(claims(exp=exp)))


def hs256(payload: object, secret: bytes = SECRET.encode(), **header: str) -> str:
    """Signed by hand: the library checks what it signs, and with what."""
    unsigned = raw_token({"alg": "HS256", **header}, payload)[:-1]
    signature = hmac.new(secret, unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize("payload", [[], "ada", 5, None, {"sub": {"sub": "ada"}}])
async def test_claims_that_are_no_object_do_not_hold(payload: object) -> None:
    await refusal(by_secret(), hs256(payload))


async def test_a_token_signed_with_another_secret_does_not_hold() -> None:
    assert "signature" in await refusal(by_secret(), jwt.encode(claims(), "x" * 32, algorithm="HS256"))


async def test_an_oversized_token_is_refused_unread() -> None:
    token = signed(padding="x" * MAX_TOKEN_CHARACTERS)
    assert "longer" in await refusal(by_secret(), token)


async def test_a_token_with_critical_extensions_is_refused() -> None:
    token = jwt.encode(claims(), SECRET, algorithm="HS256", headers={"crit": ["b64"], "b64": False})
    await refusal(by_secret(), token)


@pytest.mark.parametrize(
    "token", ["", ".", "..", "...", "a.b.c", "eyJ.eyJ.x", "Bearer x", "\u0000", "🛸", "e30.e30.e30"]
)
async def test_garbage_is_refused(token: str) -> None:
    with pytest.raises(TokenRefused):
        await by_secret().identify(token)
    with pytest.raises(TokenRefused):
        await by_keys().identify(token)


@given(
    st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode() + ".e30.x")
)
async def test_nothing_that_is_no_token_is_ever_accepted_or_raises_anything_else(text: str) -> None:
    with pytest.raises(TokenRefused):
        await by_secret().identify(text)


@given(st.integers(0, 10_000), st.integers(0, 63))
async def test_a_token_with_any_one_character_changed_does_not_hold(index: int, character: int) -> None:
    token = FIXED_TOKEN
    index %= len(token)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    changed = token[:index] + alphabet[character] + token[index + 1 :]
    try:
        identity = await by_secret().identify(changed)
    except TokenRefused:
        return
    # base64url leaves two bits of the last character of each part unused.
    assert identity.player == "ada"
    assert decoded(changed) == decoded(token)


FIXED_TOKEN = signed(exp=time.time() + 86_400)


def decoded(token: str) -> list[bytes]:
    return [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split(".")]


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        SharedSecret("short")


def test_without_any_key_there_is_no_authenticator() -> None:
    with pytest.raises(ValueError, match="no key"):
        Authenticator([])


# --- key sets ----------------------------------------------------------------------------------------------------


class Provider:
    """An identity provider that a test rotates, breaks and counts the visits of."""

    def __init__(self, *entries: dict[str, Any]) -> None:
        self.entries = list(entries)
        self.visits = 0
        self.up = True
        self.now = 1000.0
        self.set = KeySet(self.load, clock=lambda: self.now)
        self.authenticator = Authenticator([self.set])

    async def load(self) -> bytes:
        self.visits += 1
        if not self.up:
            raise OSError("the provider is down")
        return json.dumps({"keys": self.entries}).encode()


def by_key(key: rsa.RSAPrivateKey, kid: str) -> str:
    return jwt.encode(claims(), key, algorithm="RS256", headers={"kid": kid})


async def test_an_unknown_key_id_fetches_the_keys_again() -> None:
    provider = Provider(jwk(RSA_KEY, "old"))
    await provider.authenticator.identify(by_key(RSA_KEY, "old"))
    provider.entries.append(jwk(OTHER_RSA_KEY, "new"))
    provider.now += MIN_FETCH_INTERVAL_S
    assert (await provider.authenticator.identify(by_key(OTHER_RSA_KEY, "new"))).player == "ada"
    assert provider.visits == 2


async def test_invented_key_ids_do_not_turn_the_gateway_against_the_provider() -> None:
    provider = Provider(jwk(RSA_KEY, "old"))
    for number in range(50):
        await refusal(provider.authenticator, by_key(OTHER_RSA_KEY, f"invented-{number}"))
    assert provider.visits == 1


async def test_a_key_that_was_withdrawn_stops_working() -> None:
    provider = Provider(jwk(RSA_KEY, "old"), jwk(OTHER_RSA_KEY, "new"))
    await provider.authenticator.identify(by_key(RSA_KEY, "old"))
    del provider.entries[0]
    await provider.set.refresh()
    await refusal(provider.authenticator, by_key(RSA_KEY, "old"))


async def test_while_the_provider_is_down_known_keys_go_on_counting() -> None:
    provider = Provider(jwk(RSA_KEY, "old"))
    await provider.authenticator.identify(by_key(RSA_KEY, "old"))
    provider.up = False
    provider.now += 1_000_000
    await provider.set.refresh()
    assert (await provider.authenticator.identify(by_key(RSA_KEY, "old"))).player == "ada"


async def test_a_provider_that_was_never_reached_is_not_the_tokens_fault() -> None:
    provider = Provider(jwk(RSA_KEY, "old"))
    provider.up = False
    with pytest.raises(KeysUnavailable):
        await provider.authenticator.identify(by_key(RSA_KEY, "old"))


async def test_a_provider_that_answers_nonsense_counts_as_down() -> None:
    async def load() -> bytes:
        return b"<html>"

    with pytest.raises(KeysUnavailable):
        await Authenticator([KeySet(load)]).identify(by_key(RSA_KEY, "old"))


async def test_a_key_set_in_a_file_may_be_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "MIN_FETCH_INTERVAL_S", 0.0)
    path = tmp_path / "jwks.json"
    path.write_bytes(json.dumps({"keys": [jwk(RSA_KEY, "old")]}).encode())
    authenticator = Authenticator([key_set_from_file(path)])
    await authenticator.identify(by_key(RSA_KEY, "old"))
    path.write_bytes(json.dumps({"keys": [jwk(OTHER_RSA_KEY, "new")]}).encode())
    assert (await authenticator.identify(by_key(OTHER_RSA_KEY, "new"))).player == "ada"


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode(), "alg": "HS256", "kid": "x"},
        {**jwk(RSA_KEY, "x"), "use": "enc"},
        {**jwk(RSA_KEY, "x"), "key_ops": ["encrypt"]},
        {**jwk(RSA_KEY, "x"), "alg": "HS256"},
        {**jwk(RSA_KEY, "x"), "alg": "none"},
        {**jwk(EC_KEY, "x"), "alg": "RS256"},
        {**jwk(EC_KEY, "x"), "crv": "P-unknown"},
        {**jwk(RSA_KEY, "x"), "n": "!!!"},
        {"kty": "RSA"},
        {"kty": 5},
        {},
        jwk(rsa.generate_private_key(65537, 1024), "small"),  # noqa: S505 - weak on purpose
    ],
)
def test_entries_that_cannot_verify_signatures_are_passed_over(entry: dict[str, Any]) -> None:
    assert parse_jwks(json.dumps({"keys": [entry]}).encode()) == ()


def test_a_private_key_published_by_mistake_is_used_for_its_public_half_alone() -> None:
    entry: dict[str, Any] = RSAAlgorithm.to_jwk(RSA_KEY, as_dict=True)
    del entry["key_ops"]
    (key,) = parse_jwks(json.dumps({"keys": [entry]}).encode())
    assert isinstance(key.material.key, rsa.RSAPublicKey)
