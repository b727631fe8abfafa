"""Who has waited for longest makes room."""

from starwake.gateway.lobby import Lobby


def test_the_one_whose_last_sign_of_life_is_oldest_goes_first() -> None:
    lobby = Lobby[str]()
    for now, guest in enumerate(["ada", "eve", "bob", "ada"]):
        lobby.enter(guest, float(now))
    assert len(lobby) == 3
    assert [lobby.turn_out() for _ in range(4)] == ["eve", "bob", "ada", None]


def test_nobody_goes_who_has_not_waited_long_enough() -> None:
    lobby = Lobby[str]()
    lobby.enter("ada", 10.0)
    assert lobby.turn_out(before=10.0) is None
    assert len(lobby) == 1
    assert lobby.turn_out(before=10.1) == "ada"


def test_who_has_left_is_not_turned_out() -> None:
    lobby = Lobby[str]()
    lobby.enter("ada", 1.0)
    lobby.leave("ada")
    lobby.leave("ada")
    assert lobby.turn_out() is None
