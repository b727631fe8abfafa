"""The game's own orders: each module here is picked up by itself. See ../README.md, "A new order"."""
