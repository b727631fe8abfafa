"""A new order, added exactly as the README says: its two files, and nothing else."""

import json
import re
from pathlib import Path

import pytest

from starwake.contracts.batches import Loaded, PlayerRows
from starwake.contracts.commands import NoArgs
from starwake.contracts.events import completion_events
from starwake.contracts.ids import PlayerId
from starwake.contracts.reasons import ErrorCode
from starwake.game import Outcome
from starwake.game import catalogue as catalogues
from starwake.game.catalogue import load_catalogue
from starwake.game.decide import Decision, ask_of, decide
from starwake.game.errors import CatalogueError, OrdersError
from starwake.game.loading import Game, load_game
from starwake.game.requests import OrderParser, Request
from starwake.game.rules import World
from tests.unit.command.rows import NOW

KIND = "sounding"
GUIDE = (Path(__file__).parents[3] / "README.md").read_text()


def printed(language: str) -> str:
    """The guide's example in this language, as printed."""
    section = GUIDE.split("## A new order")[1]
    match = re.search(rf"^   ```{language}\n(.*?)^   ```", section, re.MULTILINE | re.DOTALL)
    assert match is not None
    # Under a name that the game will not have once somebody has followed the guide.
    return re.sub(r"^   ", "", match[1], flags=re.MULTILINE).replace("probe", KIND)


@pytest.fixture
def extended(tmp_path: Path) -> tuple[Game, World]:
    """The game with the guide's probe."""
    catalogue_file = tmp_path / "catalogue.toml"
    catalogue_file.write_text(catalogues.DEFAULT.read_text() + "\n" + printed("toml"))
    orders = tmp_path / "orders"
    orders.mkdir()
    (orders / f"{KIND}.py").write_text(printed("python"))
    catalogue = load_catalogue(catalogue_file)
    game = load_game(catalogue, orders)
    return game, World(catalogue, game.completions, lambda: "00000000-0000-7000-8000-000000000001")


def launched(game: Game, world: World, star: str, *standing: str, command: str = f"{KIND}.launch") -> Decision:
    args = {"kind": KIND, "site": "luna-1", "star": star}
    frame = json.dumps({"id": "c1", "command": command, "args": args}).encode()
    request = OrderParser(game.orders).parse(f"cmd.ada.{command}", frame)
    rows = PlayerRows(standing=set(standing) & set(ask_of(request, world).kinds))
    return decide([request], Loaded(NOW, {}, {PlayerId("ada"): rows}), world, never)


def never(_request: Request, error: Exception) -> None:
    raise error


def test_the_guide_takes_fewer_than_forty_lines() -> None:
    assert len((printed("toml") + printed("python")).splitlines()) < 40


def test_the_guides_order_builds_what_it_says(extended: tuple[Game, World]) -> None:
    decision = launched(*extended, "Vega", "observatory")
    (build,) = decision.writes.started.values()
    assert (build.kind, build.site, (build.due_at - NOW).total_seconds()) == (KIND, "luna-1", 7200)
    completed, arrived = completion_events(build.completed())
    assert json.loads(completed.body)["event"] == "build.completed"
    assert json.loads(arrived.body)["event"] == f"{KIND}.arrived"
    assert json.loads(arrived.body)["data"] == {"star": "Vega", "site": "luna-1"}


def test_the_guides_rule_and_its_requirement_hold(extended: tuple[Game, World]) -> None:
    assert launched(*extended, "Sol", "observatory").answers[0].outcome == ErrorCode.FORBIDDEN
    assert launched(*extended, "Vega").answers[0].outcome == ErrorCode.FORBIDDEN


def test_what_has_a_command_of_its_own_is_not_started_by_build_start(extended: tuple[Game, World]) -> None:
    for command in ("build.start", "build.queue"):
        assert launched(*extended, "Vega", "observatory", command=command).answers[0].outcome == ErrorCode.FORBIDDEN


def test_surveys_end_in_discovered_stars() -> None:
    game = load_game(load_catalogue())
    world = World(load_catalogue(), game.completions, lambda: "00000000-0000-7000-8000-000000000001")
    frame = b'{"id": "c1", "command": "build.start", "args": {"kind": "survey", "site": "luna-1"}}'
    request = OrderParser(game.orders).parse("cmd.ada.build.start", frame)
    decision = decide([request], Loaded(NOW, {}, {}), world, never)
    (build,) = decision.writes.started.values()
    (follow_up,) = build.follow_ups
    assert follow_up.event == "stars.discovered"
    assert follow_up.data["site"] == "luna-1"
    assert follow_up.data["stars"]


MODULES = {
    "broken": ("1 / 0", "ZeroDivisionError"),
    "taken": (
        "from starwake.game.built_in import start\nfrom dataclasses import replace\nagain = replace(start)",
        "two commands called build.start",
    ),
    "unnamed": (
        """
from starwake.contracts.commands import NoArgs
from starwake.game import order, Player, Outcome
@order('One')
def one(args: NoArgs, player: Player) -> Outcome: ...
""",
        "dotted",
    ),
    "untyped": (
        "from starwake.game import order\n@order('a.b')\ndef one(args, player): ...",
        "annotated with a msgspec Struct",
    ),
    "twice": (
        "from starwake.game import completion\n@completion('survey')\ndef more(build): return []",
        "survey is declared twice",
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_cannot_be_used_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    source, why = MODULES[name]
    (tmp_path / f"{name}.py").write_text(source)
    with pytest.raises(OrdersError, match=why) as caught:
        load_game(load_catalogue(), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_kind_whose_command_nobody_declares_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text('[kinds.ark]\ntitle = "Ark"\nduration = "1h"\ncommand = "ark.launch"')
    with pytest.raises(OrdersError, match=r"ark\.launch"):
        load_game(load_catalogue(path))
    with pytest.raises(OrdersError, match="not a directory"):
        load_game(load_catalogue(), tmp_path / "none")
    assert issubclass(CatalogueError, Exception)


ORDER = """
from starwake.game import NoArgs, Outcome, Player, order
from ._helpers import Distance
@order("probe.{name}")
def {name}(args: NoArgs, player: Player) -> Outcome:
    return Outcome({{"ly": Distance}})
"""


def test_modules_import_their_siblings(tmp_path: Path) -> None:
    (tmp_path / "_helpers.py").write_text("from ._deeper.far import Distance")
    (tmp_path / "_deeper").mkdir()
    (tmp_path / "_deeper" / "far.py").write_text("Distance = 12")
    (tmp_path / "first.py").write_text(ORDER.format(name="first"))
    (tmp_path / "second.py").write_text(ORDER.format(name="second") + "from .first import first\n")
    game = load_game(load_catalogue(), tmp_path)
    for name in ("first", "second"):
        assert game.orders[f"probe.{name}"].decide(NoArgs(), None) == Outcome({"ly": 12})  # pyright: ignore[reportArgumentType]
    assert not list(tmp_path.rglob("__pycache__"))


def test_each_directory_has_its_own_siblings_and_each_load_sees_the_files_as_they_are(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, far in ((here, 1), (there, 2)):
        folder.mkdir()
        (folder / "_helpers.py").write_text(f"Distance = {far}")
        (folder / "first.py").write_text(ORDER.format(name="first"))

    def distance(folder: Path) -> object:
        return load_game(load_catalogue(), folder).orders["probe.first"].decide(NoArgs(), None).result["ly"]  # pyright: ignore[reportArgumentType]

    assert (distance(here), distance(there)) == (1, 2)
    (here / "_helpers.py").write_text("Distance = 3")  # as many bytes, within the same second
    assert (distance(here), distance(there)) == (3, 2)


BROKEN_SIBLINGS = {
    "raises": (
        "from . import _other",
        "X = 1\nY = X / 0",
        r"probe\.py .* ZeroDivisionError: .* \(_other\.py, line 2\)",
    ),
    "syntax": ("from . import _other", "def", r"probe\.py .* SyntaxError: .*\(_other\.py, line 1\)"),
    "missing": (
        "from . import _none",
        "",
        r"probe\.py .* ImportError: cannot import name '_none'.* \(probe\.py, line 1\)",
    ),
    "nothing": ("from ._none import X", "", r"probe\.py .* No module named '_none' \(probe\.py, line 1\)$"),
    "absolute": ("import _other", "", r"probe\.py .* No module named '_other'.*with `from \. import _other`$"),
    "circle": ("from ._other import A\nB = 1", "from .probe import B\nA = 1", r"partially initialized module 'probe'"),
    "ends": ("raise SystemExit(3)", "", r"probe\.py .* SystemExit: 3"),
}


@pytest.mark.parametrize("name", BROKEN_SIBLINGS)
def test_what_is_wrong_with_siblings_is_told_with_its_place(tmp_path: Path, name: str) -> None:
    module, sibling, why = BROKEN_SIBLINGS[name]
    (tmp_path / "probe.py").write_text(module)
    (tmp_path / "_other.py").write_text(sibling)
    with pytest.raises(OrdersError, match=why) as caught:
        load_game(load_catalogue(), tmp_path)
    assert "starwake_own" not in str(caught.value)


KINDS_NOBODY_KNOWS = {
    "kind": ("@order('a.b', kind='prbe')\ndef a(args: NoArgs, player: Player) -> Outcome: ...", r"a\.b names 'prbe'"),
    "stands": (
        "@order('a.b', stands=['dok'])\ndef a(args: NoArgs, player: Player) -> Outcome: ...",
        r"a\.b names 'dok'",
    ),
    "completion": ("@completion('prbe')\ndef done(build): return []", "a completion names 'prbe'"),
}


@pytest.mark.parametrize("name", KINDS_NOBODY_KNOWS)
def test_a_kind_that_the_catalogue_does_not_have_is_not_named_in_vain(tmp_path: Path, name: str) -> None:
    source, why = KINDS_NOBODY_KNOWS[name]
    (tmp_path / "probe.py").write_text(f"from starwake.game import *\n{source}")
    with pytest.raises(OrdersError, match=rf"probe\.py: .*{why}, which is no kind"):
        load_game(load_catalogue(), tmp_path)


def test_two_modules_with_the_same_command_are_both_named(tmp_path: Path) -> None:
    (tmp_path / "_helpers.py").write_text("Distance = 1")
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(ORDER.format(name="first"))
    with pytest.raises(
        OrdersError, match=r"two\.py: there are two commands called probe\.first, the other is in one\.py"
    ):
        load_game(load_catalogue(), tmp_path)
