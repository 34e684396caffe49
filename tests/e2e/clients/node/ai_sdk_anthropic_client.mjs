// The AI SDK by way of @ai-sdk/anthropic, and of @ai-sdk/google-vertex/anthropic where CLIENTS_MODE says so.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleVertexAnthropic } from "@ai-sdk/google-vertex/anthropic";
import { generateText, stepCountIs, tool } from "ai";
import { run, streamed } from "./ai_sdk_cases.mjs";
import { City, ECHO, SKY, WEATHER, caught } from "./common.mjs";
import {
  FOLLOW_UP, IS_VERTEX, KEY, MAX_TOKENS, URL, URL_WITHOUT_RETRIES, fault, inStream, thinkingOf,
} from "./messages_common.mjs";

const models = "v1/projects/not-the-gateways-project/locations/us-east5/publishers/anthropic/models";
const open = (url) =>
  IS_VERTEX
    ? createGoogleVertexAnthropic({ baseURL: `${url}/${models}`, generateAuthToken: async () => KEY })
    : createAnthropic({ baseURL: `${url}/v1`, apiKey: KEY });
const gateway = open(URL);
const plain = open(URL_WITHOUT_RETRIES);

const thinkingFor = (model) => {
  const { type, display, budget_tokens: budgetTokens } = thinkingOf(model);
  return { anthropic: { thinking: { type, display, budgetTokens } } };
};
const get_weather = tool({
  description: "The current weather of a city",
  inputSchema: City,
  execute: async ({ city }) => SKY[city],
});

// The SDK's own retries stay on.
const failure = (model, prompt) => caught(() => generateText({ model: plain(model), prompt, maxOutputTokens: 4000 }));

await run({
  chatModel: (name) => gateway(name),
  shows: true,
  think: thinkingFor,
  more: {
    async thinking(model) {
      const given = {
        model: gateway(model),
        tools: { get_weather },
        stopWhen: stepCountIs(4),
        maxOutputTokens: MAX_TOKENS,
        providerOptions: thinkingFor(model),
      };
      const { result } = await streamed({ ...given, prompt: WEATHER });
      const steps = await result.steps;
      const cities = steps.flatMap((step) => step.toolCalls.map((call) => call.input.city));
      const signatures = steps.flatMap((step) =>
        step.reasoning.map((part) => part.providerOptions.anthropic.signature),
      );
      const history = [{ role: "user", content: WEATHER }, ...(await result.responseMessages)];
      const messages = [...history, { role: "user", content: FOLLOW_UP }];
      const { result: last } = await streamed({ ...given, messages });
      return { cities, text: await result.text, signatures, last: await last.text };
    },
    bad_request: (model) => failure(model, fault('status=400 message="no such luck"', model)),
    unknown_model: (model) => failure(`${model}-no`, ECHO),
    rate_limit: (model) => failure(model, fault("status=429", model)),
    overloaded: (model) => failure(model, fault("status=529", model)),
    cut_stream: (model) =>
      caught(() => streamed({ model: gateway(model), prompt: inStream("truncate_after_event=6") })),
  },
});
