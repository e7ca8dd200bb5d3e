// Talks to a server as OpenAI's JavaScript client does, and prints what came back as one JSON object.
// Run: node talk.mjs BASE_URL MODEL [API_KEY]
import OpenAI from "openai";

const [baseURL, model, apiKey = "none"] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "你好, name a colour." }];
const greedy = { model, messages, temperature: 0, max_tokens: 8 };

async function health() {
  return (await fetch(new URL("/health", baseURL))).json();
}

async function inFlight(wanted) {
  const started = Date.now();
  while (Date.now() - started < 20_000) {
    if (wanted((await health()).in_flight)) return (Date.now() - started) / 1000;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("in_flight did not become what was expected");
}

async function streamed() {
  const stream = await client.chat.completions.create({
    ...greedy,
    stream: true,
    stream_options: { include_usage: true },
  });
  const result = { text: "", reason: null, usage: null };
  for await (const chunk of stream) {
    result.text += chunk.choices[0]?.delta.content ?? "";
    result.reason ??= chunk.choices[0]?.finish_reason ?? null;
    result.usage = chunk.usage ?? result.usage;
  }
  return result;
}

async function failure(parameters) {
  try {
    await client.chat.completions.create({ ...greedy, ...parameters });
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code, param: error.param, type: error.type };
  }
  throw new Error("this request should have failed");
}

async function cancelled() {
  const stream = await client.chat.completions.create({ ...greedy, max_tokens: 100_000, stream: true });
  for await (const chunk of stream) {
    if (chunk.choices[0].delta.content) break;
  }
  stream.controller.abort();
  return inFlight((number) => number === 0);
}

const models = [];
for await (const each of client.models.list()) models.push(each.id);
const whole = await client.chat.completions.create(greedy);
const plain = await client.completions.create({ model, prompt: "Once", temperature: 0, max_tokens: 8 });
const several = await client.chat.completions.create({ ...greedy, temperature: 1, seed: 5, n: 2 });
console.log(
  JSON.stringify({
    models,
    whole: { text: whole.choices[0].message.content, reason: whole.choices[0].finish_reason, usage: whole.usage },
    streamed: await streamed(),
    plain: plain.choices[0].text,
    several: several.choices.map((choice) => choice.message.content),
    unknownModel: await failure({ model: "nobody" }),
    unsupported: await failure({ tools: [{ type: "function", function: { name: "f" } }] }),
    secondsUntilCancelled: await cancelled(),
  }),
);
