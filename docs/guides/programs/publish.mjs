// Publish one event to Event Center: signed, and tried again for as long as that can help.
//
// EVENT_CENTER_URL=https://events.example.com PUBLISH_KEY=pk_… PUBLISH_SECRET=whsec_… node publish.mjs event.json

import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

import { Webhook } from "standardwebhooks";

const { EVENT_CENTER_URL, PUBLISH_KEY, PUBLISH_SECRET } = process.env;
const TRY_AGAIN = [429, 500, 502, 503, 504];
const WAITS_S = [1, 5, 30, 60];

/** One try. Each is signed anew; the event in it, and so its id, stays the same. */
function send(body) {
  const id = `msg_${randomUUID()}`;
  const now = new Date();
  return fetch(`${EVENT_CENTER_URL}/internal/events/publish`, {
    method: "POST",
    body,
    headers: {
      "content-type": "application/cloudevents+json",
      "x-publish-key": PUBLISH_KEY,
      "webhook-id": id,
      "webhook-timestamp": String(Math.floor(now.getTime() / 1000)),
      "webhook-signature": new Webhook(PUBLISH_SECRET).sign(id, now, body),
    },
    signal: AbortSignal.timeout(10_000),
  });
}

/** The final answer; null when there is none. */
async function publish(body) {
  for (const wait of [...WAITS_S, null]) {
    let why, asked;
    try {
      const answer = await send(body);
      if (!TRY_AGAIN.includes(answer.status)) return answer;
      why = `HTTP ${answer.status}`;
      asked = answer.headers.get("retry-after");
    } catch (error) {
      why = error.message;
    }
    console.error(`not taken: ${why}`);
    if (wait !== null) await sleep(1000 * (/^\d+$/.test(asked) ? Number(asked) : wait));
  }
  return null;
}

const answer = await publish(await readFile(process.argv[2], "utf8"));
if (answer === null) {
  process.exitCode = 75; // try later
} else if (answer.status === 202) {
  console.log(await answer.text()); // {"events": [{"id": "…", "duplicate": false}]}
} else {
  // 401: signature or clock; 400 and 422: the event, field by field. Sending it again does not help.
  console.error(`refused, HTTP ${answer.status}: ${await answer.text()}`);
  process.exitCode = 1;
}
