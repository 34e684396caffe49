// The AI SDK by way of @ai-sdk/openai as it comes, which is the Responses API.

import { AI, run, streamed } from "./ai_sdk_cases.mjs";
import { City, ECHO, SKY, caught } from "./common.mjs";
import { FOLLOW_UP, KEY, MAX_TOKENS, fault, inStream } from "./messages_common.mjs";
import {
  BASE, BASE_WITHOUT_RETRIES, EFFORT, LONG, REFUSED, SHORT, UNKNOWN_KEY, end, oneByOne,
} from "./responses_common.mjs";

const { generateText, stepCountIs, tool } = AI;
const { createOpenAI } = await import(process.env.CLIENTS_PROVIDER);
const open = (baseURL, apiKey = KEY) => createOpenAI({ baseURL, apiKey });
const openai = open(BASE);
const plain = open(BASE_WITHOUT_RETRIES);
const stranger = open(BASE, UNKNOWN_KEY);

// It sends reasoning options for the names of OpenAI's reasoning models only, unless told to.
const thinking = { forceReasoning: true, reasoningEffort: EFFORT, reasoningSummary: "auto" };
const get_weather = tool({
  description: "The current weather of a city",
  inputSchema: City,
  execute: async ({ city }) => SKY[city],
});

async function converse(model, mark, { stored = false, ...more } = {}) {
  const given = (previousResponseId) => ({
    model: openai(model),
    tools: { get_weather },
    stopWhen: stepCountIs(5),
    maxOutputTokens: MAX_TOKENS,
    providerOptions: { openai: { ...thinking, ...more, ...(previousResponseId && { previousResponseId }) } },
  });
  const asked = { role: "user", content: oneByOne(mark) };
  const { result } = await streamed({ ...given(), messages: [asked] });
  const steps = await result.steps;
  const follow = { role: "user", content: FOLLOW_UP };
  const answers = (await result.responseMessages) ?? (await result.response).messages;
  const before = stored ? steps.at(-1).providerMetadata.openai.responseId : undefined;
  const { result: last } = await streamed({ ...given(before), messages: stored ? [follow] : [asked, ...answers, follow] });
  const all = [...steps, ...(await last.steps)];
  const ids = all.flatMap((step) => step.reasoning.map((part) => (part.providerMetadata ?? part.providerOptions).openai.itemId));
  return {
    cities: steps.flatMap((step) => step.toolCalls.map((call) => call.input.city)),
    text: await result.text,
    thoughts: new Set(ids).size,
    last: await last.text,
  };
}

const asked = (model, prompt, more) => ({ model: openai(model), prompt, ...more });
const ending = async (result) => ({ text: await result.text, why: await result.finishReason });
const unary = (given) => end(async () => ending(await generateText(given)));
const stream = (given) => end(async () => ending((await streamed(given)).result));
// The SDK's own retries stay on.
const failure = (provider, name, prompt) => caught(() => generateText({ model: provider(name), prompt }));
const broken = (model, words) => caught(() => streamed(asked(model, inStream(words))));

await run({
  chatModel: (name) => openai(name),
  shows: true,
  think: { openai: thinking },
  more: {
    thinking: (model) => converse(model, "thinking"),
    thinking_sealed: (model) => converse(model, "thinking_sealed", { store: false }),
    thinking_stored: (model) => converse(model, "thinking_stored", { stored: true }),

    truncated: (model) => unary(asked(model, LONG, { maxOutputTokens: SHORT })),
    truncated_stream: (model) => stream(asked(model, LONG, { maxOutputTokens: SHORT })),
    refused: (model) => unary(asked(model, REFUSED)),
    refused_stream: (model) => stream(asked(model, REFUSED)),

    bad_request: (model) => failure(plain, model, fault('status=400 message="no such luck"', model)),
    unknown_key: (model) => failure(stranger, model, ECHO),
    unknown_model: (model) => failure(plain, `${model}-no`, ECHO),
    rate_limit: (model) => failure(plain, model, fault("status=429", model)),
    unavailable: (model) => failure(plain, model, fault('status=503 message="out of service"', model)),
    async unavailable_twice(model) {
      const prompt = fault("status=503 times=2", model);
      return { text: (await generateText({ model: plain(model), prompt })).text };
    },
    broken_stream: (model) => broken(model, "error_after_event=6"),
    cut_stream: (model) => broken(model, "truncate_after_event=6"),
  },
});
