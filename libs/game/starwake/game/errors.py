"""What makes a game unusable before anybody plays it.

GameError
├── CatalogueError    the catalogue cannot be read, or does not hold together
└── OrdersError       an order module does not load, or contradicts another one or the catalogue
"""


class GameError(Exception):
    """Root of this tree; its text is one line for the game's developer, which says where and why."""


class CatalogueError(GameError):
    """The catalogue cannot be used."""


class OrdersError(GameError):
    """The game's order modules do not fit together."""
