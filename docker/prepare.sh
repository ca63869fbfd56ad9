#!/bin/sh
# Makes docker/secrets/ and docker/home/ for compose.yaml. Run it once, as root: each secret belongs to the one user of
# the one container that reads it (10001 the broker, 999 PostgreSQL, 99 HAProxy). Never writes over what is there.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p home secrets

secret() {  # name, owner: the secret comes from standard input
    if [ -e "secrets/$1" ]; then
        echo "secrets/$1 is there already: left as it is" >&2
        cat >/dev/null
        return
    fi
    cat >"secrets/$1"
    chown "$2" "secrets/$1"
}

random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

random | secret database_superuser 999:999
random | secret database_password 999:999
random | secret checkpoints_superuser 999:999
random | secret checkpoints_password 999:999
random | secret passphrase 10001:10001
{
    echo "database:5432:countermark:countermark:$(cat secrets/database_password)"
    echo "checkpoints:5432:countermark:countermark:$(cat secrets/checkpoints_password)"
} | secret pgpass 10001:10001
chown 10001:10001 home
echo "put certificate chain and key of the public name into docker/secrets/tls.pem (mode 600, owner 99)" >&2
