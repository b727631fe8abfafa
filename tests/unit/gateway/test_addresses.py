"""Whose address a request is told to come from, and by whom that is believed."""

import pytest
from pydantic import ValidationError

from starwake.gateway.addresses import client_address, networks_from
from starwake.gateway.settings import PlayersPortSettings

TRUSTED = networks_from("10.0.0.0/8, 192.0.2.7,fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("198.51.100.9", [], "198.51.100.9"),
        ("198.51.100.9", [b"203.0.113.1"], "198.51.100.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"203.0.113.1"], "203.0.113.1"),
        ("192.0.2.7", [b"1.1.1.1, 203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", [b"1.1.1.1, 203.0.113.1, 10.9.9.9"], "203.0.113.1"),
        ("10.0.0.1", [b"1.1.1.1", b"203.0.113.1 ,10.9.9.9"], "203.0.113.1"),
        ("10.0.0.1", [b"10.0.0.5, 10.0.0.4"], "10.0.0.5"),
        ("10.0.0.1", [b"203.0.113.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("10.0.0.1", [b"203.0.113.1:4711"], "203.0.113.1"),
        ("fd00::1", [b"2001:db8::1"], "2001:db8::1"),
        ("fd00::1", [b"[2001:db8::1]:443"], "2001:db8::1"),
        ("::ffff:10.0.0.1", [b"::ffff:203.0.113.1"], "203.0.113.1"),
        ("", [b"203.0.113.1"], ""),
    ],
)
def test_the_rightmost_address_that_is_not_a_trusted_proxys_is_the_clients(
    peer: str, forwarded_for: list[bytes], client: str
) -> None:
    assert client_address(peer, forwarded_for, TRUSTED) == client


@pytest.mark.parametrize("bad", ["10.0.0.0/33", "10.0.0.1/8", "proxy.example", "10.0.0.0-10.0.0.9", "*"])
def test_a_network_that_is_none_is_refused_by_name(bad: str) -> None:
    with pytest.raises(ValidationError, match=r"STARWAKE_TRUSTED_PROXIES") as refused:
        PlayersPortSettings(trusted_proxies=f"192.0.2.7,{bad}")
    assert repr(bad) in str(refused.value)


def test_the_proxy_protocol_needs_somebody_who_may_speak_it() -> None:
    with pytest.raises(ValidationError, match="STARWAKE_PROXY_PROTOCOL needs STARWAKE_TRUSTED_PROXIES"):
        PlayersPortSettings(proxy_protocol=True)
    assert PlayersPortSettings(proxy_protocol=True, trusted_proxies="::1").proxies == networks_from("::1/128")
