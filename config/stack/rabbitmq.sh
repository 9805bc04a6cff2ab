#!/usr/bin/env bash
# Unpacks Debian's rabbitmq-server, with the Erlang it needs, into DIRECTORY; the system itself is not changed, so no service
# of it starts. Does nothing when it is there, or when the system has one. Says why when it cannot, and ends with 1.
# Usage: rabbitmq.sh DIRECTORY
set -euo pipefail

directory=$1
if [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server || -f $directory/complete ]]; then
    exit 0
fi

fail() {
    echo "$1" >&2
    exit 1
}

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "there is no apt-get here"
packages() {
    apt-get --simulate --no-install-recommends install rabbitmq-server 2>/dev/null |
        awk '/^Inst/ { print $2 }' | grep -Ev '^(adduser|logrotate|libpopt0|socat)$' || true
}
list=$(packages)
if [[ -z $list && $(id -u) == 0 ]]; then
    apt-get --quiet=2 update >/dev/null 2>&1 || true
    list=$(packages)
fi
[[ -n $list ]] || fail "apt knows no package rabbitmq-server; as root: apt-get update"

fresh=$directory.$$
trap 'rm -rf "$fresh"' EXIT
mkdir -p "$fresh/debs" "$fresh/root"
# shellcheck disable=SC2086 # one word a package
(cd "$fresh/debs" && timeout 120 apt-get --quiet=2 download $list >/dev/null 2>&1) || fail "apt-get could not download rabbitmq-server"
for package in "$fresh"/debs/*.deb; do
    dpkg-deb --extract "$package" "$fresh/root"
done
rm -r "$fresh/debs"
mkdir -p "$(dirname "$directory")"
rm -rf "$directory"
# Debian's erl names its place; here it is another.
sed -i "s,^\( *\)ROOTDIR=.*,\1ROOTDIR=$directory/root/usr/lib/erlang," "$fresh/root/usr/lib/erlang/bin/erl"
mv "$fresh" "$directory"
touch "$directory/complete"
