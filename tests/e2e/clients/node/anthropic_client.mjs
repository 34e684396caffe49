// @anthropic-ai/sdk, and @anthropic-ai/vertex-sdk where CLIENTS_MODE says so.

import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { AnthropicVertex } from "@anthropic-ai/vertex-sdk";
import { OAuth2Client } from "google-auth-library";
import { City, ECHO, SKY, WEATHER, caught, main } from "./common.mjs";
import {
  BETAS, FOLLOW_UP, IS_VERTEX, KEY, MAX_TOKENS, URL, URL_WITHOUT_RETRIES, fault, inStream, thinkingOf,
} from "./messages_common.mjs";

function open(url = URL, key = KEY) {
  if (!IS_VERTEX) return new Anthropic({ baseURL: url, apiKey: key });
  const authClient = new OAuth2Client();
  authClient.setCredentials({ access_token: key });
  return new AnthropicVertex({ baseURL: url, projectId: "not-the-gateways-project", region: "us-east5", authClient });
}

const client = open();
const plain = open(URL_WITHOUT_RETRIES);
const user = (content) => ({ role: "user", content });
const ask = (model, messages, more = {}) => ({
  model,
  max_tokens: MAX_TOKENS,
  messages: typeof messages === "string" ? [user(messages)] : messages,
  ...more,
});
const short = { max_tokens: 4000 };
const textOf = (message) => message.content.flatMap((block) => (block.type === "text" ? block.text : [])).join("");
const used = (usage) => ({ input: usage.input_tokens, output: usage.output_tokens });
const weather = betaZodTool({
  name: "get_weather",
  description: "The current weather of a city",
  inputSchema: City,
  run: ({ city }) => SKY[city],
});
const definition = {
  name: "get_weather",
  description: "The current weather of a city",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

const unary = (asked) => client.messages.create({ ...asked, ...short });
const streamed = (asked) => client.messages.stream(asked).finalMessage();

async function loop(model, get, more = {}) {
  const asked = { tools: [definition], ...more };
  const messages = [user(WEATHER)];
  const answer = await get(ask(model, messages, asked));
  const calls = answer.content.filter((block) => block.type === "tool_use");
  messages.push({ role: "assistant", content: answer.content });
  messages.push(
    user(calls.map(({ id, input }) => ({ type: "tool_result", tool_use_id: id, content: SKY[input.city] }))),
  );
  const final = await get(ask(model, messages, asked));
  messages.push({ role: "assistant", content: final.content });
  return { result: { cities: calls.map((call) => call.input.city), text: textOf(final) }, messages };
}

const cases = {
  async chat(model) {
    const message = await unary(ask(model, ECHO));
    return { text: textOf(message), usage: used(message.usage), request_id: message._request_id };
  },

  async stream(model) {
    const stream = client.messages.stream(ask(model, ECHO));
    const pieces = [];
    stream.on("text", (piece) => pieces.push(piece));
    const message = await stream.finalMessage();
    const { request_id } = stream;
    return { text: pieces.join(""), pieces: pieces.length, usage: used(message.usage), request_id };
  },

  tools: async (model) => (await loop(model, unary)).result,
  tools_stream: async (model) => (await loop(model, streamed)).result,

  // The SDK's own loop.
  async tools_run(model) {
    const cities = [];
    const run = ({ city }) => (cities.push(city), SKY[city]);
    const runner = client.beta.messages.toolRunner(ask(model, WEATHER, { ...short, tools: [{ ...weather, run }] }));
    return { cities, text: textOf(await runner.runUntilDone()) };
  },

  async thinking(model) {
    const thinking = thinkingOf(model);
    const { result, messages } = await loop(model, streamed, { thinking });
    const blocks = messages.flatMap(({ role, content }) => (role === "assistant" ? content : []));
    const signatures = blocks.flatMap((block) => (block.type === "thinking" ? block.signature : []));
    const last = await streamed(ask(model, [...messages, user(FOLLOW_UP)], { tools: [definition], thinking }));
    return { ...result, signatures, last: textOf(last) };
  },

  async count_tokens(model) {
    const asked = { model, messages: [user(ECHO)], tools: [definition] };
    const beta = await client.beta.messages.countTokens({ ...asked, betas: BETAS });
    return { count: (await client.messages.countTokens(asked)).input_tokens, beta: beta.input_tokens };
  },

  async betas(model) {
    return { text: textOf(await client.beta.messages.create(ask(model, ECHO, { ...short, betas: BETAS }))) };
  },

  // Leaving a stream early must end it, not the process.
  async aborts(model) {
    const stream = await client.messages.create(ask(model, "write 20000 words", { max_tokens: 60000, stream: true }));
    let seen = 0;
    for await (const event of stream) {
      if (event.delta?.type === "text_delta" && ++seen === 3) break;
    }
    return { seen, aborted: stream.controller.signal.aborted };
  },

  bad_request: (model) =>
    caught(() => plain.messages.create(ask(model, fault('status=400 message="no such luck"', model), short))),
  unknown_model: (model) => caught(() => plain.messages.create(ask(`${model}-no`, ECHO, short))),
  rate_limit: (model) => caught(() => plain.messages.create(ask(model, fault("status=429", model), short))),
  overloaded: (model) => caught(() => plain.messages.create(ask(model, fault("status=529", model), short))),
  async overloaded_twice(model) {
    return { text: textOf(await plain.messages.create(ask(model, fault("status=529 times=2", model), short))) };
  },
  broken_stream: (model) => caught(() => streamed(ask(model, inStream("error_after_event=6")))),
  cut_stream: (model) => caught(() => streamed(ask(model, inStream("truncate_after_event=6")))),
  unknown_key: (model) => caught(() => open(URL, "sk-somebody-elses").messages.create(ask(model, ECHO, short))),
  google_token: (model) =>
    caught(() => open(URL, "ya29.a0AfH6SMBx-not-a-real-token").messages.create(ask(model, ECHO, short))),
};

// Paths of Anthropic's own API, which Vertex AI does not have.
const own = {
  async models(model) {
    const ids = [];
    for await (const { id } of client.models.list({ limit: 1000 })) ids.push(id);
    const one = await client.models.retrieve(model);
    return { ids, one: one.id, request_id: one._request_id };
  },

  batches(model) {
    const params = ask(model, "hello", { max_tokens: 5 });
    return caught(() => client.messages.batches.create({ requests: [{ custom_id: "1", params }] }));
  },
};

await main(IS_VERTEX ? cases : { ...cases, ...own });
