"""Deliberately broken variants of the product, for tests alone: each module patches one thing and runs a service.

The product knows nothing of them; that the oracle finds them is what shows that it can fail.
"""
