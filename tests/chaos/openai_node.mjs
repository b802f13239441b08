// Makes calls, many at a time, with the newest openai-node: the twin of openai_python.py.
import fs from "node:fs";
import { createRequire } from "node:module";

const { default: OpenAI } = createRequire(new URL("../sdk/node/package.json", import.meta.url))("openai");
const job = JSON.parse(fs.readFileSync(0, "utf8"));
const limitMs = job.limit_s * 1000;
const client = new OpenAI({ baseURL: job.base_url, apiKey: "none", maxRetries: 0, timeout: limitMs });
const waiting = [...job.calls];
const seen = [];
await Promise.all(Array.from({ length: job.concurrency }, work));
process.stdout.write(JSON.stringify(seen));

async function work() {
  for (let call = waiting.shift(); call; call = waiting.shift()) seen.push(await run(call));
}

// The monotonic clock that all processes of the machine share.
function now() {
  return Number(process.hrtime.bigint()) / 1e9;
}

async function run(call) {
  const view = { number: call.number, ended: "well", text: "", finish_reason: null, began_at: now() };
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), limitMs);
  try {
    await exchange(call, view, late.signal);
    if (late.signal.aborted) view.ended = "hung";
  } catch (error) {
    Object.assign(view, late.signal.aborted ? { ended: "hung" } : told(error));
  }
  clearTimeout(timer);
  view.ended_at = now();
  return view;
}

async function exchange(call, view, signal) {
  const endpoint = call.chat ? client.chat.completions : client.completions;
  const answer = await endpoint.create(call.body, { headers: { "x-request-id": call.id }, signal });
  if (call.stream) {
    for await (const chunk of answer) take(view, chunk, "delta");
  } else {
    take(view, answer, "message");
  }
}

function take(view, answer, messageKey) {
  for (const choice of answer.choices) {
    const message = choice[messageKey];
    view.text += (message ? message.content : choice.text) ?? "";
    view.finish_reason = choice.finish_reason ?? view.finish_reason;
  }
}

function told(error) {
  const note = `${error.constructor.name}: ${error.message}`;
  // What undici throws when a connection breaks after the headers.
  if (error instanceof OpenAI.APIConnectionError || error.cause?.code?.startsWith("UND_ERR")) {
    return { ended: "transport", note };
  }
  if (!(error instanceof OpenAI.APIError)) return { ended: "confused", note };
  const described = { message: error.message, type: error.type ?? null, code: error.code ?? null };
  return { ended: "told", status: error.status ?? 200, error: described };
}
