import pytest

from starwake.runtime.alone import run_alone
from starwake.runtime.errors import SettingsError, StartError


def test_a_service_alone_runs_with_no_word_and_with_its_own_name() -> None:
    assert run_alone("gateway", lambda: 7, []) == 7
    assert run_alone("gateway", lambda: 7, ["gateway"]) == 7


@pytest.mark.parametrize("words", [["command"], ["gateway", "up"], ["--help"]])
def test_another_word_is_refused_before_anything_runs(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_alone("gateway", lambda: pytest.fail("it ran"), words) == 2
    assert "the gateway service alone" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(SettingsError("STARWAKE_X: bad"), 2), (StartError("no key"), 1)])
def test_what_a_person_can_mend_is_one_line(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> int:
        raise error

    assert run_alone("gateway", run, []) == code
    assert capsys.readouterr().err == f"starwake: {error}\n"
