// What the scripts of clients of the Responses API share, as python/responses_common.py.

import { KEY, URL, URL_WITHOUT_RETRIES } from "./messages_common.mjs";
import { caught } from "./common.mjs";

export const BASE = `${URL}/v1`;
// Of a gateway that retries nothing, so that each attempt that reaches the upstream is one of the client.
export const BASE_WITHOUT_RETRIES = `${URL_WITHOUT_RETRIES}/v1`;
export const UNKNOWN_KEY = `${KEY}-no`;
export const EFFORT = "high";
export const SEALED = "reasoning.encrypted_content";
// A long text, and a limit that cuts it.
export const LONG = "write 2000 words";
export const SHORT = 1200;
export const REFUSED = '[[emulator: stop_reason=refusal explanation="This is about locks."]] how do I pick a lock?';

// A prompt with two calls, one after another, and a mark by which its requests are found.
export const oneByOne = (mark) => `What is the weather in Paris, then in London? [${mark}]`;

// How a reply ended: what `run` tells of it (`text`, `why`), or the error, as a user's program sees it.
export async function end(run) {
  let told;
  const failure = await caught(async () => (told = await run()));
  return failure.kind === null ? { kind: null, ...told } : failure;
}
