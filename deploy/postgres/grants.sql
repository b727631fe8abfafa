-- Who may do what with the tables. Run by the owner, in Starwake's database, after every migration; may be repeated.
-- All is withdrawn first, in the same transaction: what is not listed is not allowed.

DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO starwake_command, starwake_scheduler', current_database());
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO starwake_command, starwake_scheduler;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, starwake_command, starwake_scheduler;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, starwake_command, starwake_scheduler;
REVOKE ALL ON ALL ROUTINES IN SCHEMA public FROM PUBLIC;

-- Which version the schema has, for a service to know whether it fits.
GRANT SELECT ON alembic_version TO starwake_command, starwake_scheduler;

-- Builds are made and changed, never removed.
GRANT SELECT, INSERT, UPDATE ON build TO starwake_command, starwake_scheduler;

-- Locking a row (FOR UPDATE) takes the right to update one of its columns: below it is a column that nothing changes.

-- Commands are remembered by the command service and forgotten by the scheduler.
GRANT SELECT, INSERT ON inbox TO starwake_command;
GRANT SELECT, DELETE, UPDATE (created_at) ON inbox TO starwake_scheduler;

-- Refusals are counted by the command service and forgotten by the scheduler.
GRANT SELECT, INSERT, UPDATE ON refusal TO starwake_command;
GRANT SELECT, INSERT, UPDATE ON held_builds TO starwake_command;
GRANT SELECT ON held_builds TO starwake_scheduler;
GRANT SELECT, DELETE, UPDATE (refused_at) ON refusal TO starwake_scheduler;

-- Both tell, remove what is told, and set aside what cannot be. The id is generated always: nobody can set it.
GRANT SELECT, INSERT, DELETE, UPDATE (id, set_aside) ON outbox TO starwake_command, starwake_scheduler;
GRANT SELECT, INSERT, UPDATE ON feed_mark TO starwake_command, starwake_scheduler;

-- Orders are queued by the command service and started by whoever completes the one before.
GRANT SELECT, INSERT, DELETE ON queued_order TO starwake_command;
GRANT SELECT, DELETE, UPDATE (position) ON queued_order TO starwake_scheduler;

-- World events are announced by the command service, told and forgotten by the scheduler.
GRANT SELECT, INSERT, UPDATE ON world_event TO starwake_command;
GRANT SELECT, UPDATE, DELETE ON world_event TO starwake_scheduler;

-- Revocations are noted by the command service, and by the scheduler where only the stream had one; it forgets them.
GRANT SELECT, INSERT, UPDATE ON revocation TO starwake_command;
GRANT SELECT, INSERT, UPDATE, DELETE ON revocation TO starwake_scheduler;
