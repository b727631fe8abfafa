"""Subjects: no player id reaches another player's subjects, and whatever is built can be parsed back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId, Revision, is_player_id, new_id
from starwake.contracts.subjects import AlarmKey

_ID = "019a22b3-d98e-7596-a2f2-b959cfbb8f77"

players = st.text(min_size=1).filter(is_player_id).map(PlayerId)


@given(players)
def test_any_player_id_becomes_one_token_without_wildcards_or_white_space(player: PlayerId) -> None:
    token = subjects.encode_player(player)
    assert token
    assert not set(token) & set(".*> \t\r\n\0")
    assert token.isascii()


@given(players)
def test_a_token_names_exactly_the_player_it_was_made_of(player: PlayerId) -> None:
    assert subjects.decode_player(subjects.encode_player(player)) == player


@given(players, players)
def test_two_players_never_share_a_subject(one: PlayerId, other: PlayerId) -> None:
    assert (subjects.push(one) == subjects.push(other)) == (one == other)


@pytest.mark.parametrize("hostile", ["a.b", "*", ">", "ada.*", "a b", "a\r\nPUB x", "%41", "ünïcode", "\x7f", "🐉"])
def test_characters_that_nats_gives_a_meaning_to_are_escaped(hostile: str) -> None:
    player = PlayerId(hostile)
    assert subjects.parse_command(subjects.command(player, "build.start")) == (player, "build.start")
    assert subjects.parse_control(subjects.control(player, "revoke")) == (player, "revoke")
    assert subjects.push(player).count(".") == 2


@pytest.mark.parametrize("token", ["", "a.b", "%", "%4", "%zz", "%61", "a%2e", "ü", "%ff", "*", ">"])
def test_a_token_that_no_player_has_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match=r"token|utf-8"):
        subjects.decode_player(token)


def test_an_empty_player_id_has_no_token() -> None:
    with pytest.raises(ValueError, match="never empty"):
        subjects.encode_player(PlayerId(""))


@given(st.sampled_from(["build", "event"]), st.integers(1, 2**31 - 1))
def test_an_alarm_subject_says_which_row_and_revision_it_wakes(kind: subjects.AlarmKind, revision: int) -> None:
    key = AlarmKey(kind, new_id(), Revision(revision))
    assert subjects.parse_alarm(subjects.timer_set(key)) == key
    assert subjects.parse_alarm(subjects.timer_due(key)) == key


@pytest.mark.parametrize(
    "subject",
    [
        "timer.set.build.x.r1",
        f"timer.set.ship.{_ID}.r1",
        f"timer.set.build.{_ID}.r0",
        f"timer.set.build.{_ID}.1",
        f"timer.set.build.{_ID}.r1.more",
        f"timer.gone.build.{_ID}.r1",
    ],
)
def test_what_is_not_an_alarm_subject_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match="not an alarm subject"):
        subjects.parse_alarm(subject)


@pytest.mark.parametrize(
    "name", ["", "Build.start", "build..start", ".start", "build.", "build.*", "build start", "x" * 65]
)
def test_a_command_that_is_no_dotted_lower_case_name_gets_no_subject(name: str) -> None:
    with pytest.raises(ValueError, match="not a dotted lower-case name"):
        subjects.command(PlayerId("ada"), name)


@pytest.mark.parametrize(
    "subject", ["cmd.ada", "cmd.ada.", "cmd..build.start", "ops.ada.build.start", "cmd.a%2e.build"]
)
def test_what_is_not_a_command_subject_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match=r"not a"):
        subjects.parse_command(subject)
