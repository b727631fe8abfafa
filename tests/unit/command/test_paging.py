"""A page of a list is no longer than a message may be; a catalogue that no message holds is refused at the start."""

import pytest

from starwake.command.paging import check_catalogue_size, fitting
from starwake.runtime.errors import StartError


def test_a_page_takes_as_many_items_as_have_room_and_never_none() -> None:
    items = ["x" * 98] * 5  # 100 bytes of JSON each, and a comma
    assert len(fitting(items, 505)) == 5
    assert len(fitting(items, 504)) == 4
    assert len(fitting(items, 10)) == 1
    assert fitting([], 10) == []


def test_a_catalogue_that_no_message_holds_is_refused_with_both_sizes() -> None:
    check_catalogue_size(1_048_576, 1_048_576)
    with pytest.raises(StartError, match=r"1,048,577 bytes .* NATS takes 1,048,576 in one message"):
        check_catalogue_size(1_048_577, 1_048_576)
