#!/bin/bash
# What the official image does at a first start, as far as the manifests rely on it: initdb, a server without network,
# the files of /docker-entrypoint-initdb.d in order, then the server.
set -Eeo pipefail
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA"
    chmod 700 "$PGDATA"
    initdb --pgdata="$PGDATA" --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" \
        --auth-local=trust --auth-host=scram-sha-256 --no-sync >/dev/null
    pg_ctl --pgdata="$PGDATA" --options="$* -c listen_addresses='' -k /var/run/postgresql" --wait start
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
            *.sql) psql --set=ON_ERROR_STOP=1 --no-password --no-psqlrc --host=/var/run/postgresql \
                --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" --file="$file" ;;
        esac
    done
    pg_ctl --pgdata="$PGDATA" --mode=fast --wait stop >/dev/null
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -k /var/run/postgresql "$@"
