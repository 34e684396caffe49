// openai-node: plain calls, its stream helper, parsed replies, and a run of tools.

import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { ABOUT, BROKEN, City, ECHO, LOOK, PICTURE, Report, SKY, WEATHER, caught, main } from "./common.mjs";

const client = new OpenAI({ maxRetries: 0 });
const user = (content) => [{ role: "user", content }];
const used = (usage) => ({ input: usage.prompt_tokens, output: usage.completion_tokens });
const weather = zodFunction({ name: "get_weather", description: "The current weather of a city", parameters: City });
const think = { reasoning_effort: "high", max_completion_tokens: 20000 };

async function loop(ask) {
  const messages = user(WEATHER);
  const message = await ask(messages);
  messages.push(message);
  const cities = [];
  for (const call of message.tool_calls) {
    const { city } = JSON.parse(call.function.arguments);
    cities.push(city);
    messages.push({ role: "tool", tool_call_id: call.id, content: SKY[city] });
  }
  return { cities, text: (await ask(messages)).content };
}

const unary = (given) => async (messages) =>
  (await client.chat.completions.create({ messages, tools: [weather], ...given })).choices[0].message;
const helper = (given) => async (messages) =>
  await client.chat.completions.stream({ messages, tools: [weather], ...given }).finalMessage();

await main({
  async chat(model) {
    const answer = await client.chat.completions.create({ model, messages: user(ECHO) });
    return { text: answer.choices[0].message.content, usage: used(answer.usage) };
  },

  async stream(model) {
    const asked = { model, messages: user(ECHO), stream: true, stream_options: { include_usage: true } };
    const pieces = [];
    let usage;
    for await (const chunk of await client.chat.completions.create(asked)) {
      if (chunk.choices[0]?.delta.content) pieces.push(chunk.choices[0].delta.content);
      usage = chunk.usage ?? usage;
    }
    return { text: pieces.join(""), pieces: pieces.length, usage: used(usage) };
  },

  tools: (model) => loop(unary({ model })),
  tools_stream: (model) => loop(helper({ model })),

  // The SDK's own loop.
  async tools_run(model) {
    const cities = [];
    const look = ({ city }) => (cities.push(city), SKY[city]);
    const tool = zodFunction({
      name: "get_weather",
      description: "The current weather of a city",
      parameters: City,
      function: look,
    });
    const runner = client.chat.completions.runTools({ model, messages: user(WEATHER), tools: [tool], stream: true });
    return { cities, text: await runner.finalContent() };
  },

  async structured(model) {
    const format = zodResponseFormat(Report, "report");
    const answer = await client.chat.completions.parse({ model, messages: user(ABOUT), response_format: format });
    return answer.choices[0].message.parsed;
  },

  async structured_stream(model) {
    const format = zodResponseFormat(Report, "report");
    const stream = client.chat.completions.stream({ model, messages: user(ABOUT), response_format: format });
    return (await stream.finalChatCompletion()).choices[0].message.parsed;
  },

  async image(model) {
    const content = [
      { type: "text", text: LOOK },
      { type: "image_url", image_url: { url: PICTURE } },
    ];
    const answer = await client.chat.completions.create({ model, messages: user(content) });
    return { text: answer.choices[0].message.content };
  },

  async reasoning(model) {
    const { choices, usage } = await client.chat.completions.create({ model, messages: user(ECHO), ...think });
    const { content, reasoning_content } = choices[0].message;
    const counted = usage.completion_tokens_details.reasoning_tokens;
    return { text: content, reasoning: reasoning_content, reasoning_tokens: counted };
  },

  reasoning_tools: (model) => loop(helper({ model, ...think })),

  // Leaving a stream early must end it, not the process.
  async aborts(model) {
    const stream = await client.chat.completions.create({
      model,
      messages: user("write 20000 words"),
      max_tokens: 60000,
      stream: true,
    });
    let seen = 0;
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content && ++seen === 3) break;
    }
    return { seen, aborted: stream.controller.signal.aborted };
  },

  unknown_model: (model) => caught(() => unary({ model: `${model}-no` })(user(ECHO))),
  bad_request: (model) => caught(() => unary({ model, temperature: 3 })(user(ECHO))),
  broken_stream: (model) => caught(() => helper({ model })(user(BROKEN))),
});
