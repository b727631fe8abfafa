"""The reference of all settings: each is described, once, and no secret is shown."""

import os
import re
from typing import Annotated

import pytest
from pydantic import Field, SecretStr
from typer.testing import CliRunner

from starwake.cli.main import app
from starwake.cli.services import OWN_SETTINGS, SERVICES, ServiceName, known_names, settings_class
from starwake.runtime.settings import Block, about, names_of
from starwake.runtime.settings_reference import as_help, as_markdown, sections_of
from tests.support import check_settings

SECTIONS = sections_of({name: settings_class(name) for name in SERVICES})
SETTINGS = [setting for section in SECTIONS for setting in section.settings]


class Hidden(Block):
    """Secrets."""

    key: Annotated[SecretStr, about("A key.")] = SecretStr("hunter2")
    address: Annotated[str, Field(repr=False), about("May hold a password.")] = "db://ada:hunter2@host"
    wide: Annotated[float, Field(gt=0, le=60), about("A | b.", unit="s")] = 5.0


def test_the_document_says_what_the_classes_say() -> None:
    assert check_settings.main(["--check"]) == 0


def test_every_setting_of_every_service_is_named_once_and_described() -> None:
    names = [setting.name for setting in SETTINGS]
    assert sorted(names) == sorted(set(names))
    assert {*names, *OWN_SETTINGS} == known_names()
    assert [setting.name for setting in SETTINGS if not setting.what] == []


def test_a_number_of_seconds_or_bytes_has_its_unit() -> None:
    named = [each for each in SETTINGS if re.search(r"_(S|SECONDS|MS|BYTES|DAYS)$", each.name)]
    assert named
    assert [each.name for each in named if not each.unit] == []


@pytest.mark.parametrize("services", [{"a": Hidden}])
def test_the_default_of_what_is_secret_or_may_hold_a_secret_is_not_shown(services: dict[str, type[Hidden]]) -> None:
    sections = sections_of(services)
    assert "hunter2" not in as_markdown(sections) + str(as_help(sections))
    assert "| `STARWAKE_KEY` | secret text |  | not shown | A key. | a |" in as_markdown(sections)


def test_bounds_units_and_defaults_are_told() -> None:
    row = "| `STARWAKE_WIDE` | number, above 0, at most 60 | s | 5 | A \\| b. | a |"
    assert row in as_markdown(sections_of({"a": Hidden}))


def test_no_default_is_a_path_of_the_machine_that_made_the_document() -> None:
    assert [setting.name for setting in SETTINGS if os.sep in setting.default] == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_help_lists_its_settings_and_no_others(service: ServiceName) -> None:
    result = CliRunner().invoke(app, [service, "--help"])
    assert result.exit_code == 0
    listed = set(re.findall(r"^  (STARWAKE_\w+) \(", result.stdout, re.MULTILINE))
    assert listed == names_of(settings_class(service))
