// Uses `responses` and `embeddings` of the newest openai-node: the twin of ../python/later_endpoints.py.
import fs from "node:fs";
import OpenAI from "openai";

const job = JSON.parse(fs.readFileSync(0, "utf8"));
const options = { apiKey: job.api_key ?? "none", maxRetries: 0, timeout: 60_000 };
const client = new OpenAI({ baseURL: job.base_url, ...options });
const embedder = new OpenAI({ baseURL: job.embeddings_url, ...options });
const model = job.model ?? "any";
const embeddingsModel = job.embeddings_model ?? "any";
const results = { responses: await responses(), embeddings: await embeddings() };
process.stdout.write(JSON.stringify(results));

async function responses() {
  const asked = { model, input: "Once upon a time", max_output_tokens: 24 };
  const whole = await client.responses.create(asked);
  const fetched = await client.responses.retrieve(whole.id);
  const following = await client.responses.create({
    model,
    input: "And then?",
    previous_response_id: whole.id,
    max_output_tokens: 4,
  });
  await client.responses.delete(whole.id);
  const events = [];
  for await (const event of await client.responses.create({ ...asked, stream: true })) events.push(event);
  return {
    text: whole.output_text,
    items: whole.output.map((item) => item.type),
    status: whole.status,
    usage: whole.usage && [whole.usage.input_tokens, whole.usage.output_tokens],
    fetched: text(fetched),
    follows: following.previous_response_id === whole.id,
    after_delete: await raised(() => client.responses.retrieve(whole.id)),
    unknown: await raised(() => client.responses.create({ ...asked, previous_response_id: "resp_x" })),
    types: events.map((event) => event.type),
    deltas: events
      .filter((event) => event.type === "response.output_text.delta")
      .map((event) => event.delta)
      .join(""),
    last: text(events.at(-1).response),
    helped: await helped(asked),
  };
}

// The helper that puts a response together from its events is stricter than the stream itself.
async function helped(asked) {
  const types = [];
  try {
    const stream = client.responses.stream(asked);
    for await (const event of stream) types.push(event.type);
    return { types, text: (await stream.finalResponse()).output_text };
  } catch (error) {
    if (!(error instanceof OpenAI.OpenAIError)) throw error;
    return { refused: error.message };
  }
}

function text(response) {
  const parts = response.output.filter((item) => item.type === "message").flatMap((item) => item.content);
  return parts.map((part) => part.text).join("");
}

async function embeddings() {
  const packed = await embedder.embeddings.create({ model: embeddingsModel, input: ["one", "two"] });
  const plain = await embedder.embeddings.create({ model: embeddingsModel, input: "one", encoding_format: "float" });
  return {
    length: packed.data[0].embedding.length,
    same: JSON.stringify(packed.data[0].embedding) === JSON.stringify(plain.data[0].embedding),
    indexes: packed.data.map((each) => each.index),
    tokens: packed.usage.prompt_tokens === packed.usage.total_tokens && packed.usage.total_tokens > 0,
    cut: await raised(() => embedder.embeddings.create({ model: embeddingsModel, input: "x", dimensions: 8 })),
  };
}

async function raised(call) {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return [error.constructor.name, error.status ?? null];
  }
  return null;
}
