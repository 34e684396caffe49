// What the scripts of clients of the Messages API share, as python/messages_common.py.

export const URL = process.env.GATEWAY_URL;
// A gateway that retries nothing, so that each attempt that reaches the upstream is one of the client.
export const URL_WITHOUT_RETRIES = process.env.GATEWAY_URL_WITHOUT_RETRIES;
export const KEY = process.env.GATEWAY_KEY;
export const IS_VERTEX = process.env.CLIENTS_MODE === "vertex";
export const MAX_TOKENS = 20000;
export const FOLLOW_UP = "repeat after me: thank you";
export const BETAS = [
  "interleaved-thinking-2025-05-14",
  "advanced-tool-use-2025-11-20",
  "files-api-2025-04-14",
  "not-known-yet-2027-01-01",
];

// A prompt that the emulator answers with a fault, `times` counted for this model alone.
export const fault = (words, model) =>
  `[[emulator: ${words} retry_after=0.05 key=${model}]] repeat after me: a b c d e f g h i j k l m n o p`;
// A prompt whose stream breaks.
export const inStream = (words) => `[[emulator: ${words}]] repeat after me: a b c d e f g h i j k l m n o p`;

// The parameter `thinking` that a model takes.
export const thinkingOf = (model) =>
  model.includes("haiku-4-5")
    ? { type: "enabled", budget_tokens: 2000 }
    : { type: "adaptive", display: "summarized" };
