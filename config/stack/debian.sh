#!/usr/bin/env bash
# Unpacks a package of Debian, with what it needs, into DIRECTORY; the system itself is not changed, so no service of it
# starts. Does nothing when it is there. Says why when it cannot, and ends with 1.
# Usage: debian.sh DIRECTORY PACKAGE [LEFT-OUT...]   LEFT-OUT: packages that it is said to need and that are not wanted here
set -euo pipefail

directory=$1 package=$2
shift 2
if [[ -f $directory/complete ]]; then
    exit 0
fi

fail() {
    echo "$1" >&2
    exit 1
}

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "there is no apt-get here"
packages() {
    apt-get --simulate --no-install-recommends install "$package" 2>/dev/null |
        awk '/^Inst/ { print $2 }' | grep -Fvx -e "$(printf '%s\n' - "$@")" || true
}
list=$(packages "$@")
if [[ -z $list && $(id -u) == 0 ]]; then
    apt-get --quiet=2 update >/dev/null 2>&1 || true
    list=$(packages "$@")
fi
[[ -n $list ]] || fail "apt knows no package $package; as root: apt-get update"

fresh=$directory.$$
trap 'rm -rf "$fresh"' EXIT
mkdir -p "$fresh/debs" "$fresh/root"
# shellcheck disable=SC2086 # one word a package
(cd "$fresh/debs" && timeout 120 apt-get --quiet=2 download $list >/dev/null 2>&1) || fail "apt-get could not download $package"
for file in "$fresh"/debs/*.deb; do
    dpkg-deb --extract "$file" "$fresh/root"
done
rm -r "$fresh/debs"
rm -rf "$directory"
mv "$fresh" "$directory"
touch "$directory/complete"
