"""The gateway's settings: defaults that others rely on."""

import re
from pathlib import Path

from starwake.gateway.settings import PlayersPortSettings

_PROXIES = Path(__file__).parents[3] / "deploy" / "proxies"


def test_an_idle_http_connection_is_kept_for_75_seconds_by_default() -> None:
    assert PlayersPortSettings().keep_alive_s == 75


def test_the_proxies_of_deploy_give_their_idle_connections_up_before_the_gateway_does() -> None:
    kept_s = {
        "nginx.conf": r"keepalive_timeout (\d+)s",
        "haproxy.cfg": r"pool-purge-delay (\d+)s",
        "Caddyfile": r"keepalive (\d+)s",
    }
    for name, setting in kept_s.items():
        found = re.findall(setting, (_PROXIES / name).read_text())
        assert len(found) == 1, name
        assert int(found[0]) < PlayersPortSettings().keep_alive_s, name
