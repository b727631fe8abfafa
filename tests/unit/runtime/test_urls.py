"""Addresses with passwords: what libpq takes is taken, and what cannot be read shows nothing of itself."""

import ssl

import pytest

from starwake.runtime.errors import SettingsError
from starwake.runtime.settings import BusSettings, StoreSettings, load_settings
from starwake.runtime.urls import bus_servers, database_arguments

MARK = "MARKER"


@pytest.mark.parametrize(
    "query",
    [
        "sslmode=require&channel_binding=require",
        "gssencmode=disable&keepalives=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=3",
        "tcp_user_timeout=1000&client_encoding=auto&target_session_attrs=read-write",
    ],
)
def test_what_hosted_postgres_hands_out_is_not_sent_to_the_server(query: str) -> None:
    arguments = database_arguments(f"postgresql://ada:p%40ss@db.example:5432/game?{query}")
    assert arguments["dsn"].partition("?")[0] == "postgresql://ada:p%40ss@db.example:5432/game"
    assert arguments["dsn"].partition("?")[2] in {"", "sslmode=require"}
    assert arguments["target_session_attrs"] == "read-write"


def test_the_form_of_key_and_value_means_the_same() -> None:
    arguments = database_arguments(
        r"host=a,b port=5432,5433 user=ada password='it\'s & 1' dbname=game connect_timeout=3"
    )
    assert arguments["dsn"] == "postgresql:?host=a%2Cb&port=5432%2C5433&user=ada&password=it%27s+%26+1&dbname=game"
    assert arguments["timeout"] == 3.0


def test_what_is_the_servers_is_left_to_it() -> None:
    url = "postgresql://a/b?options=-c%20geqo%3Doff&search_path=game"
    assert database_arguments(url)["dsn"] == "postgresql://a/b?options=-c+geqo%3Doff&search_path=game"


def test_the_systems_certificates_mean_that_names_are_checked() -> None:
    context = database_arguments("postgresql://a/b?sslrootcert=system")["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert context.check_hostname
    with pytest.raises(ValueError, match="verify-full"):
        database_arguments("postgresql://a/b?sslrootcert=system&sslmode=require")


BAD = [
    "://u:MARKER@h/d",
    "mysql://u:MARKER@h/d",
    "//u:MARKER/x@h/d",
    "//u:MARKER#x@h/d",
    "//u:MARKER?x@h/d",
    "//u:MARKER@x@h/d",
    "//u:[MARKER@h/d",
    "//u:MARKER@h:port/d",
    "//u:MARKER@h:99999/d",
    "//u:MARKER\u2100@h/d",
]


@pytest.mark.parametrize(
    "rest", [*BAD, "//h/d?password", "//h/d?password=MARKER&port=x", "//h/d?=MARKER&connect_timeout=x"]
)
def test_a_database_url_that_cannot_be_read_is_refused_by_its_name(rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARWAKE_DATABASE_URL", rest if rest[0] != "/" else f"postgresql:{rest}")
    with pytest.raises(SettingsError, match=r"^STARWAKE_DATABASE_URL: ") as caught:
        load_settings(StoreSettings)
    assert MARK not in str(caught.value)


@pytest.mark.parametrize("rest", BAD)
def test_a_nats_url_that_cannot_be_read_is_refused_by_its_name(rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARWAKE_NATS_URL", rest if rest[0] != "/" else f"nats:{rest}")
    with pytest.raises(SettingsError, match=r"^STARWAKE_NATS_URL: ") as caught:
        load_settings(BusSettings)
    assert MARK not in str(caught.value)


def test_settings_do_not_show_what_they_hold() -> None:
    assert MARK not in repr(BusSettings(nats_url=f"nats://u:{MARK}@h"))
    assert bus_servers(" nats://a , tls://u:p%40@[::1]:4223,") == ["nats://a", "tls://u:p%40@[::1]:4223"]
