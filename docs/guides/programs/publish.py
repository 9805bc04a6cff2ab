"""Publish one event to Event Center: signed, and tried again for as long as that can help.

EVENT_CENTER_URL=https://events.example.com PUBLISH_KEY=pk_… PUBLISH_SECRET=whsec_… python publish.py event.json
"""

import os
import sys
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path

import requests
from standardwebhooks import Webhook

URL = f"{os.environ['EVENT_CENTER_URL']}/internal/events/publish"
TRY_AGAIN = {429, 500, 502, 503, 504}
WAITS_S = (1, 5, 30, 60)


def send(body: str) -> requests.Response:
    """One try. Each is signed anew; the event in it, and so its id, stays the same."""
    message_id, now = f"msg_{uuid.uuid4().hex}", datetime.now(timezone.utc)
    headers = {
        "content-type": "application/cloudevents+json",
        "x-publish-key": os.environ["PUBLISH_KEY"],
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(os.environ["PUBLISH_SECRET"]).sign(message_id, now, body),
    }
    return requests.post(URL, data=body.encode(), headers=headers, timeout=10)


def publish(body: str) -> requests.Response:
    """The final answer. Ends the program with 75 (try later) when there is none."""
    for wait_s in (*WAITS_S, None):
        try:
            answer = send(body)
            if answer.status_code not in TRY_AGAIN:
                return answer
            why, asked = f"HTTP {answer.status_code}", answer.headers.get("retry-after", "")
        except requests.RequestException as error:
            why, asked = str(error), ""
        print(f"not taken: {why}", file=sys.stderr)
        if wait_s is not None:
            time.sleep(int(asked) if asked.isdecimal() else wait_s)
    sys.exit(75)


answer = publish(Path(sys.argv[1]).read_text(encoding="utf-8"))
if answer.status_code == 202:
    print(answer.text)  # {"events": [{"id": "…", "duplicate": false}]}
else:  # 401: signature or clock; 400 and 422: the event, field by field. Sending it again does not help.
    sys.exit(f"refused, HTTP {answer.status_code}: {answer.text}")
