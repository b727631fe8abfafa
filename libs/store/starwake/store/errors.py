"""What can go wrong with the database.

StoreError
+-- StoreUnavailable     the database cannot be reached or did not answer in time; trying again makes sense
+-- StoreConflict        somebody else changed the rows in between; the transaction was rolled back
+-- SchemaBehind         the schema is older than this program (or was never made)
"""


class StoreError(Exception):
    """Whatever the store raises; the driver's error is its cause."""


class StoreUnavailable(StoreError):  # noqa: N818 - said as the state that it is, like the error code `unavailable`
    """The database is down, refuses, or was too slow; what was in flight may or may not have been committed."""


class StoreConflict(StoreError):  # noqa: N818 - as above
    """A deadlock, a serialisation failure or a row that changed in between: rolled back, to be tried again."""


class SchemaBehind(StoreError):  # noqa: N818 - as above
    """The database's schema is not the one that this program was written for."""
