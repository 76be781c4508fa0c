#!/bin/sh
# A login for each role of compose.yaml, and a database for each service, which nobody else may use. Postgres runs it
# once, when it makes its data. Each password is in POSTGRES_PASSWORD_<LOGIN>.

set -eu

as_owner() {
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" "$@"
}

# psql takes the password from the environment: arguments of a process are for everybody to see.
login() {
    as_owner --set name="$1" --set variable="POSTGRES_PASSWORD_$(echo "$1" | tr '[:lower:]' '[:upper:]')" <<'SQL'
\getenv password :variable
create role :"name" login password :'password';
SQL
}

only_for() {
    as_owner --set database="$1" --set name="$2" <<'SQL'
revoke all on database :"database" from public;
grant connect on database :"database" to :"name";
SQL
}

login orchestrator
only_for "$POSTGRES_DB" orchestrator
for service in inventory payment shipping notification hotel car insurance card mail; do
    login "$service"
    as_owner --command "create database $service"
    only_for "$service" "$service"
done
