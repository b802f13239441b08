// Makes calls with the newest openai-node and prints what each call gave: the twin of ../python/client.py.
import fs from "node:fs";
import OpenAI from "openai";

const job = JSON.parse(fs.readFileSync(0, "utf8"));
const client = new OpenAI({ baseURL: job.base_url, apiKey: job.api_key, maxRetries: 0, timeout: 60_000 });
const packageFile = new URL("node_modules/openai/package.json", import.meta.url);
const results = { version: JSON.parse(fs.readFileSync(packageFile, "utf8")).version };
for (const call of job.calls) {
  results[call.name] = await run(call);
}
process.stdout.write(JSON.stringify(results));

async function run({ kind, params }) {
  if (kind === "responses") return runResponse(params);
  const gathered = { models: new Set(), choices: new Map(), usage: null, error: null };
  try {
    if (kind === "models") {
      const models = [];
      for await (const model of client.models.list()) models.push(model.id);
      return { models: models.sort() };
    }
    const endpoint = kind === "chat" ? client.chat.completions : client.completions;
    const answer = await endpoint.create(params);
    if (params.stream) {
      for await (const chunk of answer) add(gathered, chunk, "delta");
    } else {
      add(gathered, answer, "message");
    }
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    gathered.error = described(error);
  }
  return result(gathered);
}

async function runResponse(params) {
  const seen = { ids: new Set(), models: new Set(), text: "", status: null, error: null };
  try {
    const answer = await client.responses.create(params);
    if (params.stream) {
      for await (const event of answer) {
        if (event.type === "response.output_text.delta") seen.text += event.delta;
        if (event.response) note(seen, event.response);
      }
    } else {
      note(seen, answer);
      seen.text = answer.output_text;
    }
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    seen.error = described(error);
  }
  return { ...seen, ids: [...seen.ids].sort(), models: [...seen.models].sort() };
}

function note(seen, { id, model, status }) {
  seen.ids.add(id);
  seen.models.add(model);
  seen.status = status === "in_progress" ? null : status;
}

function described(error) {
  return {
    class: error.constructor.name,
    status: error.status ?? null,
    code: error.code ?? null,
    type: error.type ?? null,
    param: error.param ?? null,
    message: error.message,
  };
}

function add(gathered, answer, messageKey) {
  gathered.models.add(answer.model);
  if (answer.usage) {
    const { prompt_tokens, completion_tokens, total_tokens } = answer.usage;
    gathered.usage = { prompt_tokens, completion_tokens, total_tokens };
  }
  for (const choice of answer.choices) {
    if (!gathered.choices.has(choice.index)) {
      gathered.choices.set(choice.index, { text: "", finish_reason: null, logprobs: [], tools: {} });
    }
    const own = gathered.choices.get(choice.index);
    const message = choice[messageKey] ?? {};
    own.text += choice.text || message.content || "";
    own.finish_reason = choice.finish_reason ?? own.finish_reason;
    own.logprobs.push(...logprobs(choice.logprobs ?? {}));
    (message.tool_calls ?? []).forEach((tool, at) => addTool(own.tools, tool.index ?? at, tool.function));
  }
}

function result({ models, choices, usage, error }) {
  const inOrder = [...choices.keys()].sort((a, b) => a - b).map((index) => choices.get(index));
  return { models: [...models].sort(), choices: inOrder, usage, error };
}

function logprobs(given) {
  if (given.content) return given.content.map(({ token, logprob }) => [token, logprob]);
  return (given.tokens ?? []).map((token, at) => [token, given.token_logprobs[at]]);
}

function addTool(tools, index, { name, arguments: args }) {
  const own = (tools[index] ??= { name: "", arguments: "" });
  own.name += name ?? "";
  own.arguments += args ?? "";
}
