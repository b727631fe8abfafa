#!/bin/bash
# Run once by the postgres image, after roles.sql, on an empty volume: the database and the roles' passwords.
set -euo pipefail

for role in owner command scheduler; do
    # The password goes in as a variable from a file, so that it stands in no argument list and no log.
    psql --no-psqlrc --set=ON_ERROR_STOP=1 --quiet --username="$POSTGRES_USER" --dbname=postgres <<SQL
\set password \`cat /run/secrets/$role/password\`
ALTER ROLE starwake_$role PASSWORD :'password';
SQL
done

psql --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname=postgres \
    --command='CREATE DATABASE starwake OWNER starwake_owner'
