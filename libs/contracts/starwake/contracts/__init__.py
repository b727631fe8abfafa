"""What the services, the clients and the players agree on: subjects, frames, commands, events, reasons.

Everything here is pure: no I/O, no event loop, importable by anyone.
"""
