-- Roles of Tessera and what they may do before any table exists. Run by a superuser inside the database; repeatable.
-- Passwords are set apart (embedded/postgres.py, ops/postgres/init.sh): they are nobody's business here.
--   tessera_owner   owns the schema, runs migrations
--   tessera_worker  what activities do
--   tessera_api     what the HTTP API does
-- None of them is superuser or may bypass row security. Rights on tables are granted by the migrations that make them.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tessera_owner', 'tessera_worker', 'tessera_api'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
        EXECUTE format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION', name);
    END LOOP;
    EXECUTE format('ALTER DATABASE %I OWNER TO tessera_owner', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO tessera_worker, tessera_api', current_database());
END
$$;
ALTER SCHEMA public OWNER TO tessera_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO tessera_worker, tessera_api;
