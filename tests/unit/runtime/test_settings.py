"""Settings: what is accepted, and how what is not is told."""

import pytest
from pydantic import SecretStr

from starwake.runtime.errors import SettingsError
from starwake.runtime.settings import (
    BusSettings,
    ServiceSettings,
    StoreSettings,
    load_settings,
    names_of,
    refuse_unknown_names,
)


class Composed(ServiceSettings, BusSettings, StoreSettings):
    """As a service composes its own."""


def test_a_service_reads_every_block_that_it_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARWAKE_NATS_URL", "nats://bus:4222")
    monkeypatch.setenv("STARWAKE_DRAIN_SECONDS", "2.5")
    monkeypatch.setenv("STARWAKE_DATABASE_URL", "postgresql://u:p@db/x")
    settings = load_settings(Composed)
    assert (settings.nats_url, settings.drain_seconds) == ("nats://bus:4222", 2.5)
    assert settings.database_url == SecretStr("postgresql://u:p@db/x")


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARWAKE_NATS_USER", "")
    assert load_settings(BusSettings).nats_user is None


def test_bad_values_are_told_in_one_line_that_names_each_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARWAKE_HEALTH_PORT", "99999")
    monkeypatch.setenv("STARWAKE_LOG_LEVEL", "loud")
    with pytest.raises(SettingsError) as caught:
        load_settings(ServiceSettings)
    text = str(caught.value)
    assert "STARWAKE_HEALTH_PORT" in text
    assert "STARWAKE_LOG_LEVEL" in text
    assert "\n" not in text


def test_a_bad_secret_is_not_repeated_in_the_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARWAKE_NATS_CREDS", "/no/such/file")
    monkeypatch.setenv("STARWAKE_STREAM_REPLICAS", "hunter2")
    with pytest.raises(SettingsError) as caught:
        load_settings(BusSettings)
    assert "hunter2" not in str(caught.value)


def test_an_unknown_variable_is_refused_with_the_name_that_was_meant() -> None:
    with pytest.raises(SettingsError, match="STARWAKE_NATS_ULR is not a setting, did you mean STARWAKE_NATS_URL"):
        refuse_unknown_names(names_of(BusSettings), {"STARWAKE_NATS_ULR": "x"})


def test_addresses_that_orchestrators_put_into_containers_are_not_unknown_settings() -> None:
    refuse_unknown_names(
        names_of(BusSettings),
        {
            "STARWAKE_GATEWAY_PORT": "tcp://10.0.0.1:8080",
            "STARWAKE_GATEWAY_SERVICE_HOST": "10.0.0.1",
            "STARWAKE_GATEWAY_PORT_8080_TCP_ADDR": "10.0.0.1",
            "HOME": "/",
        },
    )
