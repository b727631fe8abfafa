"""Finds a game's orders: those that are shipped, and every module in a directory of one's own.

Such a directory is a package whatever its name: its modules import one another relatively, `from . import _distances`.
Those whose names begin with `_` are helpers, in which no orders are looked for.
"""

import importlib
import pkgutil
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import NamedTuple

from starwake.game import default
from starwake.game.built_in import BUILT_IN, RESERVED
from starwake.game.catalogue import Catalogue
from starwake.game.declare import CompletionOf, Order
from starwake.game.errors import OrdersError
from starwake.game.rules import Completion


@dataclass(frozen=True, slots=True)
class Game:
    """All orders by command, and what completions push, by kind."""

    orders: dict[str, Order]
    completions: dict[str, Completion] = field(default_factory=dict[str, Completion])


class _Found(NamedTuple):
    name: str
    module: ModuleType
    is_own: bool


def load_game(catalogue: Catalogue, own: Path | None = None) -> Game:
    """The built-in orders, those that are shipped, and those of the modules in the directory `own`.

    Raises:
        OrdersError: a module does not load, or two of them, or one and the catalogue, contradict each other.
    """
    game = Game(dict(BUILT_IN))
    declared_in: dict[str, str] = dict.fromkeys(RESERVED, "Starwake itself")
    seen: set[int] = {id(each) for each in BUILT_IN.values()}
    for name, module, is_own in _modules(own):
        for value in vars(module).values():
            # What one module imports from another is declared once.
            if not isinstance(value, Order | CompletionOf) or id(value) in seen:
                continue
            seen.add(id(value))
            if is_own:
                _check_kinds(value, catalogue, name)
            if isinstance(value, CompletionOf):
                if value.kind in game.completions:
                    raise OrdersError(f"{name}: the completion of {value.kind} is declared twice")
                game.completions[value.kind] = value.follow_ups
                continue
            if other := declared_in.get(value.command):
                raise OrdersError(f"{name}: there are two commands called {value.command}, the other is in {other}")
            declared_in[value.command] = name
            game.orders[value.command] = value
    for kind in catalogue.kinds.values():
        if kind.command not in game.orders:
            raise OrdersError(f"the catalogue starts {kind.name} with {kind.command}, which no module declares")
    return game


def _check_kinds(declared: Order | CompletionOf, catalogue: Catalogue, module: str) -> None:
    if isinstance(declared, Order):
        what = f"the order {declared.command}"
        names = (*(() if declared.kind is None else (declared.kind,)), *declared.stands)
    else:
        what, names = "a completion", (declared.kind,)
    for name in names:
        if catalogue.get(name) is None:
            raise OrdersError(f"{module}: {what} names {name!r}, which is no kind of the catalogue")


def _modules(own: Path | None) -> Iterator[_Found]:
    for found in pkgutil.iter_modules(default.__path__):
        if not found.name.startswith("_"):
            yield _Found(found.name, importlib.import_module(f"{default.__name__}.{found.name}"), is_own=False)
    if own is None:
        return
    if not own.is_dir():
        raise OrdersError(f"STARWAKE_ORDERS: {own} is not a directory")
    package = _package(own)
    for path in sorted(own.glob("*.py")):
        if not path.name.startswith("_"):
            module = _loaded(path, lambda name=path.stem: importlib.import_module(f"{package}.{name}"), package)
            yield _Found(path.name, module, is_own=True)


def _package(own: Path) -> str:
    """The name under which the directory's modules are imported, afresh each time."""
    directory = own.resolve()
    name = f"starwake_own_orders_{blake2b(str(directory).encode(), digest_size=4).hexdigest()}"
    for loaded in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
        del sys.modules[loaded]
    importlib.invalidate_caches()  # a file may be younger than what was seen of its directory
    package = ModuleType(name)
    package.__path__ = [str(directory)]
    sys.modules[name] = package
    return name


def _loaded(path: Path, load: Callable[[], ModuleType], package: str) -> ModuleType:
    try:
        with _no_bytecode():
            return load()
    except (Exception, SystemExit) as error:  # a game's module may raise anything while it is imported
        text = str(error).replace(f"'{package}' (unknown location)", "the modules beside it").replace(f"{package}.", "")
        text = " ".join(text.split())
        why = f"{type(error).__name__}: {text}{_place(error, path)}{_hint(error, path)}"
        raise OrdersError(f"the order module {path.name} does not load: {why}") from error


def _place(error: BaseException, path: Path) -> str:
    """Where in the game's own files it happened; a SyntaxError says so itself."""
    if isinstance(error, SyntaxError):
        return ""
    directory = path.resolve().parent
    own = [(Path(frame.f_code.co_filename), line) for frame, line in walk_tb(error.__traceback__)]
    places = [f" ({file.relative_to(directory)}, line {line})" for file, line in own if file.is_relative_to(directory)]
    return places[-1] if places else ""


def _hint(error: BaseException, path: Path) -> str:
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return ""
    sibling = error.name.partition(".")[0]
    beside = path.with_name(f"{sibling}.py").exists() or path.with_name(sibling).is_dir()
    return f"; modules beside it are imported with `from . import {sibling}`" if beside else ""


@contextmanager
def _no_bytecode() -> Generator[None]:
    """No `__pycache__` in the game's directory: it tells two edits within a second apart by their sizes alone."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
