#!/bin/sh
# Run once by the PostgreSQL image on an empty data directory, for both servers: a role without privileges that owns
# one database. The broker never connects as superuser. The password is read by psql itself, so that no process list
# shows it.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set password `cat /run/secrets/role_password`
CREATE ROLE countermark LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE countermark OWNER countermark ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE countermark FROM PUBLIC;
SQL
