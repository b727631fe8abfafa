"""What never gets into a log."""

import pytest

from starwake.runtime.logs import hide_secrets, without_secrets

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"


def test_a_token_in_any_text_is_hidden() -> None:
    assert without_secrets(f"refused {JWT} of ada") == "refused [hidden] of ada"


def test_the_password_of_a_url_is_hidden_and_its_user_kept() -> None:
    assert without_secrets("nats://ada:hunter2@127.0.0.1:4222") == "nats://ada:[hidden]@127.0.0.1:4222"


def test_fields_that_are_called_secrets_are_hidden_whatever_they_hold() -> None:
    event = hide_secrets(None, "info", {"event": "x", "token": 12, "player": "ada"})
    assert event == {"event": "x", "token": "[hidden]", "player": "ada"}


def test_other_text_stays_as_it_is() -> None:
    assert without_secrets("https://example.org/a?b=c eye") == "https://example.org/a?b=c eye"


@pytest.mark.parametrize(
    "text",
    [
        "host=a user=b password=MARKER dbname=c",
        "host=a password = 'MAR\\'KER MARKER' dbname=c",
        "postgresql://a/b?password=MARKER&sslmode=require",
        "postgresql://u:MARKER@a/b",
    ],
)
def test_passwords_of_every_form_of_address_are_hidden(text: str) -> None:
    shown = without_secrets(f"cannot be reached at {text}")
    assert "MARKER" not in shown
    assert "KER" not in shown
