#!/bin/sh
# Temporal's own schema, made or brought up to date; safe to run again. SQL_PASSWORD comes from the environment.
set -eu

schema() {
    tool="temporal-sql-tool --plugin postgres12 --ep postgres --port 5432 --user temporal --db $1"
    $tool setup-schema --version 0.0 || echo "$1: has a schema already"
    $tool update-schema --schema-dir "/etc/temporal/schema/postgresql/v12/$2/versioned"
}

schema temporal temporal
schema temporal_visibility visibility
