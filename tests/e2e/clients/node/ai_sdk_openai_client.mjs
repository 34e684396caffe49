// The AI SDK by way of @ai-sdk/openai, its chat model. It reads no reasoning of Chat Completions.

import { createOpenAI } from "@ai-sdk/openai";
import { run } from "./ai_sdk_cases.mjs";
import { API_KEY, BASE_URL } from "./common.mjs";

const gateway = createOpenAI({ baseURL: BASE_URL, apiKey: API_KEY });

await run({
  chatModel: (name) => gateway.chat(name),
  shows: false,
  think: { openai: { reasoningEffort: "high" } },
});
