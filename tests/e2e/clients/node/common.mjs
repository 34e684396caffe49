// Runs the cases of one client and writes what came of them as one JSON object: node SCRIPT RESULT_FILE MODEL...
// What each case has to return is written in tests/e2e/clients/test_clients.py.

import { writeFileSync } from "node:fs";
import { z } from "zod";

export const BASE_URL = process.env.OPENAI_BASE_URL;
export const API_KEY = process.env.OPENAI_API_KEY;
export const PICTURE = process.env.CLIENTS_PICTURE;
export const ECHO = "repeat after me: one two three grüße 東京 six seven";
export const WEATHER = "What is the weather in Paris and London?";
export const ABOUT = "Report about Oslo";
export const LOOK = "Look at this";
export const BROKEN = "[[emulator: error_after_event=6]] repeat after me: a b c d e f g h i j k l m n o p";
export const SKY = { Paris: "18 degrees", London: "rain at 14 degrees" };

const Spot = z.object({ name: z.string(), height: z.number() });
export const Report = z.object({
  city: z.string(),
  unit: z.enum(["celsius", "fahrenheit"]),
  best: Spot,
  spots: z.array(Spot),
  remark: z.string().nullable(),
});
export const City = z.object({ city: z.string() });

// The error that `run` ends with, as a user's program sees it.
export async function caught(run) {
  try {
    return { kind: null, said: JSON.stringify(await run()) };
  } catch (error) {
    const { message, requestID = null } = error;
    return { kind: error.constructor.name, status: error.status ?? error.statusCode ?? null, message, request_id: requestID };
  }
}

export async function main(cases) {
  const [file, ...models] = process.argv.slice(2);
  const outcomes = {};
  for (const model of models) {
    for (const [name, run] of Object.entries(cases)) {
      try {
        outcomes[`${name} ${model}`] = { value: await run(model) };
      } catch (error) {
        outcomes[`${name} ${model}`] = { failure: `${error.stack}\n${JSON.stringify(error)}` };
      }
    }
  }
  writeFileSync(file, JSON.stringify(outcomes));
}
