#!/bin/sh
# Runs once, when the database's volume is new: our three roles with their passwords, and Temporal's own role and databases.
set -eu

psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname tessera --file /tessera/roles.sql

psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname tessera \
    --set owner="$TESSERA_OWNER_PASSWORD" --set worker="$TESSERA_WORKER_PASSWORD" --set api="$TESSERA_API_PASSWORD" \
    --set temporal="$TEMPORAL_DB_PASSWORD" <<'SQL'
ALTER ROLE tessera_owner PASSWORD :'owner';
ALTER ROLE tessera_worker PASSWORD :'worker';
ALTER ROLE tessera_api PASSWORD :'api';
CREATE ROLE temporal LOGIN NOSUPERUSER PASSWORD :'temporal';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
SQL
