#!/bin/sh
# Publish one event to Event Center: signed, and tried again for as long as that can help. Needs curl and openssl.
#
# EVENT_CENTER_URL=https://events.example.com PUBLISH_KEY=pk_… PUBLISH_SECRET=whsec_… sh publish.sh event.json
set -eu

answer=$(mktemp)
headers=$(mktemp)
trap 'rm -f "$answer" "$headers"' EXIT
key=$(printf %s "${PUBLISH_SECRET#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')

# One try; prints the status, 000 for none. Each is signed anew; the event in it, and so its id, stays the same.
send() {
    id=msg_$(openssl rand -hex 16)
    timestamp=$(date +%s)
    signature=$({ printf %s "$id.$timestamp."; cat "$1"; } |
        openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)
    curl --silent --max-time 10 --output "$answer" --dump-header "$headers" --write-out '%{http_code}' \
        --header 'content-type: application/cloudevents+json' \
        --header "x-publish-key: $PUBLISH_KEY" \
        --header "webhook-id: $id" \
        --header "webhook-timestamp: $timestamp" \
        --header "webhook-signature: v1,$signature" \
        --data-binary "@$1" "$EVENT_CENTER_URL/internal/events/publish" || true
}

for wait in 1 5 30 60 end; do
    status=$(send "$1")
    case $status in
        202) # {"events": [{"id": "…", "duplicate": false}]}
            cat "$answer"
            exit 0 ;;
        000 | 429 | 500 | 502 | 503 | 504)
            echo "not taken: HTTP $status" >&2 ;;
        *) # 401: signature or clock; 400 and 422: the event, field by field. Sending it again does not help.
            echo "refused, HTTP $status: $(cat "$answer")" >&2
            exit 1 ;;
    esac
    if [ "$wait" != end ]; then
        asked=$(tr -d '\r' <"$headers" | sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]\{1,5\}\)$/\1/p')
        sleep "${asked:-$wait}"
    fi
done
exit 75 # try later
