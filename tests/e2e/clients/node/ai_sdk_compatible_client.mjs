// The AI SDK by way of @ai-sdk/openai-compatible.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { run } from "./ai_sdk_cases.mjs";
import { API_KEY, BASE_URL } from "./common.mjs";

const gateway = createOpenAICompatible({
  name: "gateway",
  baseURL: BASE_URL,
  apiKey: API_KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});

await run({
  chatModel: (name) => gateway.chatModel(name),
  shows: true,
  think: { gateway: { reasoningEffort: "high" } },
});
