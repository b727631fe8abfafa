"""Finds the game's own orders: every module in `default/`, and in a directory of one's own."""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from starwake.game import default
from starwake.game.built_in import commands
from starwake.game.catalogue import Catalogue
from starwake.game.declare import CompletionOf, Order
from starwake.game.errors import OrdersError
from starwake.game.rules import Completion


@dataclass(frozen=True, slots=True)
class Game:
    """All orders by command, and what completions push, by kind."""

    orders: dict[str, Order]
    completions: dict[str, Completion] = field(default_factory=dict[str, Completion])


def load_game(catalogue: Catalogue, own: Path | None = None) -> Game:
    """The built-in orders, those in `default/`, and those of the modules in the directory `own`.

    Raises:
        OrdersError: a module does not load, or two of them, or one and the catalogue, contradict each other.
    """
    declared: list[Order] = []
    completions: dict[str, Completion] = {}
    for module in _modules(own):
        for value in vars(module).values():
            if isinstance(value, Order):
                declared.append(value)
            elif isinstance(value, CompletionOf):
                if value.kind in completions:
                    raise OrdersError(f"{module.__name__}: the completion of {value.kind} is declared twice")
                completions[value.kind] = value.follow_ups
    try:
        orders_by_name = commands(declared)
    except ValueError as error:
        raise OrdersError(str(error)) from error
    for kind in catalogue.kinds.values():
        if kind.command not in orders_by_name:
            raise OrdersError(f"the catalogue starts {kind.name} with {kind.command}, which no module declares")
    return Game(orders_by_name, completions)


def _modules(own: Path | None) -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(default.__path__):
        if found.name.startswith("_"):
            continue
        with _naming(found.name):
            module = importlib.import_module(f"{default.__name__}.{found.name}")
        yield module
    if own is None:
        return
    if not own.is_dir():
        raise OrdersError(f"STARWAKE_ORDERS: {own} is not a directory")
    for path in sorted(own.glob("*.py")):
        with _naming(path.name):
            module = _from_file(path)
        yield module


@contextmanager
def _naming(module: str) -> Generator[None]:
    try:
        yield
    except Exception as error:  # a game's module may raise anything while it is imported
        raise OrdersError(f"the order module {module} does not load: {type(error).__name__}: {error}") from error


def _from_file(path: Path) -> ModuleType:
    name = f"starwake_own_orders.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a module")
    module = importlib.util.module_from_spec(spec)
    # Registered before it runs: type hints are looked up through it.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
