-- Who may sign in to Postgres, and within which limits. Run once by a superuser, in any database; may be repeated.
-- What each may do with the tables is in grants.sql. Passwords are set by whoever knows them, never here.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['starwake_owner', 'starwake_command', 'starwake_scheduler'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I', wanted);
        END IF;
    END LOOP;
END
$$;

-- Owns the database and changes the schema (migrations); no service signs in as it. Migrations may take their time, but
-- not hold up everybody by waiting for a lock: they fail after 5 s and are tried again.
ALTER ROLE starwake_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 5;
ALTER ROLE starwake_owner SET lock_timeout = '5s';
ALTER ROLE starwake_owner SET idle_in_transaction_session_timeout = '60s';

-- Connections: STARWAKE_DATABASE_POOL (8) and STARWAKE_READ_POOL (2) for each copy, six copies and their successors during a rollout.
ALTER ROLE starwake_command LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 80;
ALTER ROLE starwake_command SET statement_timeout = '10s';
ALTER ROLE starwake_command SET idle_in_transaction_session_timeout = '10s';

-- Three copies and one successor. Reconciliation reads a million rows by pages: no statement is long.
ALTER ROLE starwake_scheduler LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 40;
ALTER ROLE starwake_scheduler SET statement_timeout = '30s';
ALTER ROLE starwake_scheduler SET idle_in_transaction_session_timeout = '10s';
