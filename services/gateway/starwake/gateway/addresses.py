"""PURE: whose address a request came from, where proxies that are trusted stand before the gateway."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


def networks_from(text: str) -> tuple[Network, ...]:
    """The networks of a list such as `10.0.0.0/8, fd00::/8, 192.0.2.7`.

    Raises:
        ValueError: one of them is no network; the text names it.
    """
    networks: list[Network] = []
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            networks.append(ip_network(part))
        except ValueError as error:
            raise ValueError(f"{part!r} is no address and no network in CIDR notation: {error}") from error
    return tuple(networks)


def address_from(text: str) -> Address | None:
    """The address that is written here, also with a port; None where it is none.

    An IPv4 address that came over an IPv6 socket (`::ffff:192.0.2.7`; RFC 4291, 2.5.5.2) is an IPv4 address.
    """
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Whether this peer is one of the proxies in front."""
    parsed = address_from(address)
    return parsed is not None and any(parsed in network for network in trusted)


def client_address(peer: str, forwarded_for: Sequence[bytes], trusted: Sequence[Network]) -> str:
    """The address nearest to the client that a trusted proxy vouches for.

    Each proxy appends the address of whoever asked it, so what stands left of the rightmost address that is not
    trusted may be made up.

    Args:
        peer: who opened the connection.
        forwarded_for: the values of `X-Forwarded-For`, in order.
        trusted: the proxies; from anybody else the header is not believed.
    """
    client = peer
    for hop in reversed(b",".join(forwarded_for).decode("latin-1").split(",")) if forwarded_for else ():
        if not is_trusted(client, trusted):
            break
        address = address_from(hop)
        if address is None:  # whoever wrote that did not tell
            break
        client = str(address)
    return client
