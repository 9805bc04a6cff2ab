// Receive Event Center's webhooks: verify each, keep it once, answer at once. The work is done later, from the inbox.
//
// WEBHOOK_SECRET=whsec_… PORT=8080 INBOX=inbox node receive.mjs

import { randomUUID } from "node:crypto";
import { link, mkdir, unlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";

import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const INBOX = process.env.INBOX ?? "inbox";
const MAX_BYTES = 1024 * 1024;

/** Whether it is new. It is on the disk then; a name can be given once only, so a repeat changes nothing. */
async function keep(id, body) {
  const draft = join(INBOX, `.${randomUUID()}`);
  await writeFile(draft, body, { flush: true });
  try {
    await link(draft, join(INBOX, `${id}.json`));
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  } finally {
    await unlink(draft);
  }
}

/** The status to answer with. */
async function take(request) {
  const parts = [];
  let length = 0;
  for await (const part of request) {
    parts.push(part);
    length += part.length;
    if (length > MAX_BYTES) return 413;
  }
  const body = Buffer.concat(parts); // verified as it came: JSON that was parsed and written again has other bytes
  try {
    webhook.verify(body, request.headers); // refuses a timestamp that is 5 minutes off, too
  } catch {
    return 401;
  }
  const id = request.headers["webhook-id"];
  if (!/^[A-Za-z0-9_-]{1,100}$/.test(id)) return 400;
  console.log((await keep(id, body)) ? "new" : "repeat", id);
  return 204;
}

await mkdir(INBOX, { recursive: true });
createServer(async (request, response) => {
  try {
    response.writeHead(await take(request)).end();
  } catch {
    // A full disk, say: let Event Center keep it for a minute.
    response.writeHead(503, { "retry-after": "60" }).end();
  }
}).listen(Number(process.env.PORT ?? 8080), "127.0.0.1");
