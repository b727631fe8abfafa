"""A token taken apart: one form only, no extensions, nothing believed."""

import base64
import json
import time

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starwake.gateway.auth import Authenticator, TokenRefused
from starwake.gateway.keys import KeySet, SharedSecret
from starwake.gateway.tokens import read_claims, read_token

SECRET = "unit-tests-secret-of-some-forty-characters"  # noqa: S105 - only these tests know it
CLAIMS = {"sub": "ada", "exp": int(time.time()) + 86_400}
TOKEN = jwt.encode(CLAIMS, SECRET, algorithm="HS256")


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_the_parts_are_those_that_were_put_together() -> None:
    token = read_token(TOKEN)
    assert (token.header.alg, token.header.kid) == ("HS256", None)
    assert token.signed == TOKEN.rpartition(".")[0].encode()
    assert token.signature == base64.urlsafe_b64decode(TOKEN.rpartition(".")[2] + "=")
    assert read_claims(token) == CLAIMS


@given(st.dictionaries(st.text(max_size=10), st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text()))
def test_claims_of_any_library_are_read(claims: dict[str, object]) -> None:
    assert read_claims(read_token(f"{part({'alg': 'HS256'})}.{part(claims)}.AAAA")) == claims


def test_whole_padding_is_tolerated_as_some_issuers_add_it() -> None:
    head = base64.urlsafe_b64encode(b'{"alg":"HS256"} ').decode()
    assert head.endswith("=")
    assert read_token(f"{head}.e30.AAAA").header.alg == "HS256"


@pytest.mark.parametrize(
    "signature", ["AB", "AAB", "A", "AA=", "AAA==", "AAAA====", "AA A", "AA\nA", "AA+A", "AA/A", "ÄÄ"]
)
def test_base64url_has_one_form(signature: str) -> None:
    with pytest.raises(TokenRefused):
        read_token(f"{part({'alg': 'HS256'})}.e30.{signature}")


@pytest.mark.parametrize("more", [{"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"b64": "no"}, {"kid": 5}])
def test_a_header_that_asks_for_more_is_refused(more: dict[str, object]) -> None:
    with pytest.raises(TokenRefused):
        read_token(f"{part({'alg': 'HS256', **more})}.e30.AAAA")


@pytest.mark.parametrize("token", ["e30.e30", "a.b.c.d", f"{TOKEN}.", f".{TOKEN}"])
def test_a_token_has_three_parts(token: str) -> None:
    with pytest.raises(TokenRefused):
        read_token(token)


def test_a_token_whose_key_is_at_hand_is_verified_at_once() -> None:
    authenticator = Authenticator([SharedSecret(SECRET)])
    identity = authenticator.identify_at_hand(TOKEN)
    assert identity is not None
    assert identity.player == "ada"
    with pytest.raises(TokenRefused):
        authenticator.identify_at_hand(TOKEN[:-4] + "AAAA")


def test_a_token_whose_key_has_to_be_fetched_is_not_judged_at_once() -> None:
    async def load() -> bytes:
        raise OSError("not asked in this test")

    authenticator = Authenticator([SharedSecret(SECRET), KeySet(load)])
    assert authenticator.identify_at_hand(f"{part({'alg': 'RS256', 'kid': 'new'})}.{part(CLAIMS)}.AAAA") is None
    identity = authenticator.identify_at_hand(TOKEN)
    assert identity is not None, "the set has nothing to do with a token signed with the secret"
