#!/bin/sh
# Verify one webhook of Event Center and keep it once: its headers in one file ("name: value" lines), its body, byte for
# byte, in another. Ends with 0 when it is good, new or not, and with 1 when it must be refused. Needs openssl.
#
# WEBHOOK_SECRET=whsec_… INBOX=inbox sh verify.sh headers.txt body.json
set -eu

header() {
    awk -v name="$1:" 'tolower($1) == name { sub(/^[^:]*:[ \t]*/, ""); sub(/\r$/, ""); print; exit }' "$2"
}

refuse() {
    echo "refused: $1" >&2
    exit 1
}

id=$(header webhook-id "$1")
timestamp=$(header webhook-timestamp "$1")
signatures=$(header webhook-signature "$1")
case $id in '' | *[!A-Za-z0-9_-]*) refuse "webhook-id is missing or odd" ;; esac
case $timestamp in '' | 0* | *[!0-9]* | ???????????*) refuse "webhook-timestamp is missing or odd" ;; esac

age=$(($(date +%s) - timestamp))
if [ "$age" -gt 300 ] || [ "$age" -lt -300 ]; then
    refuse "webhook-timestamp is more than 5 minutes off"
fi

key=$(printf %s "${WEBHOOK_SECRET#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
expected=$({ printf %s "$id.$timestamp."; cat "$2"; } |
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)
# Several signatures while a secret is rotated: one of them must be right.
case " $signatures " in
    *" v1,$expected "*) ;;
    *) refuse "webhook-signature does not fit" ;;
esac

later() {
    echo "cannot be kept now" >&2
    exit 75 # answer 503 with Retry-After
}

inbox=${INBOX:-inbox}
mkdir -p "$inbox" || later
draft=$(mktemp "$inbox/.XXXXXX") || later
trap 'rm -f "$draft"' EXIT
cat "$2" >"$draft" || later
# A name can be given once only, so a repeat changes nothing.
if ln "$draft" "$inbox/$id.json" 2>/dev/null; then
    echo "new $id"
elif [ -e "$inbox/$id.json" ]; then
    echo "repeat $id"
else
    later
fi
