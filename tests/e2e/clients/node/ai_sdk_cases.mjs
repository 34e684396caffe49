// The Vercel AI SDK with any provider's chat model: the same cases for each way of pointing it at the gateway.

import { ABOUT, BROKEN, City, ECHO, LOOK, PICTURE, Report, SKY, WEATHER, caught, main } from "./common.mjs";

// Two major versions: the newest, and the newest that Node 20 takes.
export const AI = await import(process.env.CLIENTS_PACKAGE ?? "ai");
const { Output, generateText, stepCountIs, streamText, tool } = AI;

const get_weather = tool({
  description: "The current weather of a city",
  inputSchema: City,
  execute: async ({ city }) => SKY[city],
});
const used = (usage) => ({ input: usage.inputTokens, output: usage.outputTokens });

export async function streamed(given) {
  const pieces = [];
  let failure;
  const result = streamText({ maxRetries: 0, ...given, onError: ({ error }) => (failure = error) });
  for await (const piece of result.textStream) pieces.push(piece);
  if (failure) throw failure;
  return { result, pieces };
}

const looped = async (steps, text) => ({
  cities: (await steps).flatMap((step) => step.toolCalls.map((call) => call.input.city)),
  text: await text,
});

// `chatModel(name)`: the model. `shows`: whether the provider reads reasoning. `think`: its options for it, or a function
// of the model that has them. `more`: other cases, and those that a provider has in another form.
export function run({ chatModel, shows, think, more = {} }) {
  const thinkOf = typeof think === "function" ? think : () => think;
  const looping = { prompt: WEATHER, tools: { get_weather }, stopWhen: stepCountIs(4) };
  return main({
    async chat(model) {
      const { text, usage } = await generateText({ model: chatModel(model), prompt: ECHO, maxRetries: 0 });
      return { text, usage: used(usage) };
    },

    async stream(model) {
      const { result, pieces } = await streamed({ model: chatModel(model), prompt: ECHO });
      return { text: pieces.join(""), pieces: pieces.length, usage: used(await result.usage) };
    },

    async tools(model) {
      const { steps, text } = await generateText({ model: chatModel(model), ...looping });
      return looped(steps, text);
    },

    async tools_stream(model) {
      const { result } = await streamed({ model: chatModel(model), ...looping });
      return looped(result.steps, result.text);
    },

    async structured(model) {
      const output = Output.object({ schema: Report });
      return (await generateText({ model: chatModel(model), prompt: ABOUT, output })).output;
    },

    async structured_stream(model) {
      const output = Output.object({ schema: Report });
      return (await streamed({ model: chatModel(model), prompt: ABOUT, output })).result.output;
    },

    async image(model) {
      const content = [
        { type: "text", text: LOOK },
        { type: "image", image: PICTURE },
      ];
      return { text: (await generateText({ model: chatModel(model), messages: [{ role: "user", content }] })).text };
    },

    async reasoning(model) {
      const asked = { model: chatModel(model), prompt: ECHO, maxOutputTokens: 20000, providerOptions: thinkOf(model) };
      const { text, reasoningText, usage } = await generateText(asked);
      const reasoning = shows ? reasoningText : null;
      return { text, reasoning, reasoning_tokens: usage.outputTokenDetails.reasoningTokens };
    },

    async reasoning_stream(model) {
      const asked = { model: chatModel(model), prompt: ECHO, maxOutputTokens: 20000, providerOptions: thinkOf(model) };
      const { result, pieces } = await streamed(asked);
      const reasoning = shows ? await result.reasoningText : null;
      const { outputTokenDetails } = await result.usage;
      return { text: pieces.join(""), reasoning, reasoning_tokens: outputTokenDetails.reasoningTokens };
    },

    async reasoning_tools(model) {
      const asked = { model: chatModel(model), ...looping, maxOutputTokens: 20000, providerOptions: thinkOf(model) };
      const { result } = await streamed(asked);
      return looped(result.steps, result.text);
    },

    unknown_model: (model) =>
      caught(() => generateText({ model: chatModel(`${model}-no`), prompt: ECHO, maxRetries: 0 })),
    bad_request: (model) =>
      caught(() => generateText({ model: chatModel(model), prompt: ECHO, temperature: 3, maxRetries: 0 })),
    broken_stream: (model) => caught(() => streamed({ model: chatModel(model), prompt: BROKEN })),
    ...more,
  });
}
