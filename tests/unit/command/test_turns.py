"""Reads take turns: nobody's many keep out another's few."""

from starwake.command.turns import Turns


def test_one_of_each_owner_is_under_way_and_the_others_come_in_turn() -> None:
    turns: Turns[int] = Turns(at_once=2, each=8, room=100)
    for number in range(3):
        assert turns.offer("ada", number) == "taken"
    assert turns.take() == ("ada", 0)
    assert turns.take() is None
    assert turns.offer("bob", 10) == "taken"
    assert turns.take() == ("bob", 10)
    turns.done("ada")
    assert turns.offer("eve", 20) == "taken"
    assert turns.take() == ("ada", 1)
    turns.done("bob")
    assert turns.take() == ("eve", 20)


def test_an_owners_line_is_bounded_and_so_are_all() -> None:
    turns: Turns[int] = Turns(at_once=1, each=2, room=3)
    assert [turns.offer("ada", number) for number in range(3)] == ["taken", "taken", "own line full"]
    assert turns.offer("bob", 0) == "taken"
    assert turns.offer("eve", 0) == "full"
    assert len(turns) == 3
