// Decodes event streams with the newest openai-node: the twin of decode.py.
import fs from "node:fs";
import { createRequire } from "node:module";

const { Stream } = createRequire(new URL("../../sdk/node/package.json", import.meta.url))("openai/streaming");
console.error = () => {}; // what the client says of broken streams
const told = [];
for (const stream of JSON.parse(fs.readFileSync(0, "utf8"))) {
  told.push(await read(Buffer.from(stream, "base64")));
}
process.stdout.write(JSON.stringify(told));

async function read(bytes) {
  const events = [];
  try {
    for await (const event of Stream.fromSSEResponse(new Response(bytes), new AbortController())) events.push(event);
  } catch (error) {
    return { events, broken: String(error) };
  }
  return { events, broken: null };
}
