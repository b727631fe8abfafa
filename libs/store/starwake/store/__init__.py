"""The only place with SQL: tables and their history, named queries, the connection pool, what is read and written."""
