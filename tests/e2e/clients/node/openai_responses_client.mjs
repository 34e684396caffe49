// openai-node on the Responses API: plain calls, its stream helper, parsed replies and stored responses.

import { ABOUT, City, ECHO, LOOK, PICTURE, Report, SKY, WEATHER, caught, main } from "./common.mjs";
import { FOLLOW_UP, KEY, MAX_TOKENS, fault, inStream } from "./messages_common.mjs";
import {
  BASE, BASE_WITHOUT_RETRIES, EFFORT, LONG, REFUSED, SEALED, SHORT, UNKNOWN_KEY, end, oneByOne,
} from "./responses_common.mjs";

// Two major versions: the newest, and the newest that Node 20 takes.
const name = process.env.CLIENTS_PACKAGE;
const { default: OpenAI } = await import(name);
const { zodResponsesFunction, zodTextFormat } = await import(`${name}/helpers/zod`);

const client = new OpenAI({ baseURL: BASE, apiKey: KEY });
const plain = new OpenAI({ baseURL: BASE_WITHOUT_RETRIES, apiKey: KEY });
const user = (content) => [{ role: "user", content }];
const used = (usage) => ({ input: usage.input_tokens, output: usage.output_tokens });
const description = "The current weather of a city";
const tools = [zodResponsesFunction({ name: "get_weather", description, parameters: City })];
const think = { tools, max_output_tokens: MAX_TOKENS, reasoning: { effort: EFFORT, summary: "auto" } };
const report = { format: zodTextFormat(Report, "report") };

const unary = (given) => (input) => client.responses.create({ input, ...given });
const helper = (given) => async (input) => await client.responses.stream({ input, ...given }).finalResponse();

const callsOf = (response) => response.output.filter((item) => item.type === "function_call");
const cityOf = (call) => JSON.parse(call.arguments).city;
const resultsOf = (response) =>
  callsOf(response).map((call) => ({ type: "function_call_output", call_id: call.call_id, output: SKY[cityOf(call)] }));

// Several questions of one conversation. With `stored`, every request holds only what is new.
async function loop(ask, asked, stored = false) {
  let items = [];
  let before;
  let thoughts = 0;
  const cities = [];
  const texts = [];
  for (const question of asked) {
    let added = user(question);
    for (let response; added.length > 0; ) {
      items = stored ? added : [...items, ...added];
      response = await ask(items, before);
      before = stored ? response.id : undefined;
      items = [...items, ...response.output];
      thoughts += response.output.filter((item) => item.type === "reasoning").length;
      cities.push(...callsOf(response).map(cityOf));
      added = resultsOf(response);
      if (added.length === 0) texts.push(response.output_text);
    }
  }
  return { cities, text: texts[0], thoughts, last: texts.at(-1) };
}

function ending(response) {
  const parts = response.output.flatMap((item) => (item.type === "message" ? item.content : []));
  const refusals = parts.filter((part) => part.type === "refusal").map((part) => part.refusal);
  return { text: response.output_text, why: [response.status, response.incomplete_details?.reason ?? null], refusals };
}

// The last event says what went wrong; the SDK leaves it to the program to look.
async function failed(model, input) {
  let last;
  for await (const event of await client.responses.create({ model, input, stream: true })) last = event;
  return { kind: last.type, message: last.response.error?.message };
}

const failure = (model, input) => caught(() => plain.responses.create({ model, input }));
const stranger = new OpenAI({ baseURL: BASE, apiKey: UNKNOWN_KEY });

await main({
  async chat(model) {
    const response = await client.responses.create({ model, input: ECHO });
    return { text: response.output_text, usage: used(response.usage) };
  },

  async stream(model) {
    const pieces = [];
    let last;
    for await (const event of await client.responses.create({ model, input: ECHO, stream: true })) {
      if (event.type === "response.output_text.delta") pieces.push(event.delta);
      last = event;
    }
    return { text: pieces.join(""), pieces: pieces.length, usage: used(last.response.usage) };
  },

  tools: (model) => loop(unary({ model, tools }), [WEATHER]),
  tools_stream: (model) => loop(helper({ model, tools }), [WEATHER]),
  thinking: (model) => loop(helper({ model, ...think }), [oneByOne("thinking"), FOLLOW_UP]),
  thinking_sealed: (model) =>
    loop(helper({ model, ...think, store: false, include: [SEALED] }), [oneByOne("thinking_sealed"), FOLLOW_UP]),
  thinking_stored: (model) =>
    loop(
      (input, previous_response_id) => helper({ model, ...think, previous_response_id })(input),
      [oneByOne("thinking_stored"), FOLLOW_UP],
      true,
    ),

  structured: async (model) => (await client.responses.parse({ model, input: ABOUT, text: report })).output_parsed,
  structured_stream: async (model) => (await helper({ model, text: report })(ABOUT)).output_parsed,

  async structured_tool(model) {
    const tool = zodResponsesFunction({ name: "write_report", parameters: Report });
    const response = await client.responses.parse({ model, input: "Use write_report for Oslo", tools: [tool] });
    return callsOf(response)[0].parsed_arguments;
  },

  async image(model) {
    const content = [
      { type: "input_text", text: LOOK },
      { type: "input_image", image_url: PICTURE, detail: "auto" },
    ];
    return { text: (await client.responses.create({ model, input: user(content) })).output_text };
  },

  async stored(model) {
    const made = await client.responses.create({ model, input: ECHO, metadata: { topic: "echo" } });
    const read = await client.responses.retrieve(made.id);
    const input = [];
    for await (const item of client.responses.inputItems.list(made.id)) input.push(item.content[0].text);
    await client.responses.delete(made.id);
    const same = (some) => JSON.stringify([some.output, some.metadata]);
    return {
      same: same(read) === same(made),
      input,
      gone: await caught(() => client.responses.retrieve(made.id)),
      continued: await caught(() =>
        client.responses.create({ model, input: FOLLOW_UP, previous_response_id: made.id }),
      ),
    };
  },

  async count_tokens(model) {
    return { count: (await client.responses.inputTokens.count({ model, input: ECHO })).input_tokens };
  },

  async compacted(model) {
    const input = [...user(ECHO), { role: "assistant", content: "one two three" }];
    const { output } = await client.responses.compact({ model, input });
    const response = await client.responses.create({ model, input: [...output, ...user(FOLLOW_UP)] });
    return { kinds: output.map((item) => item.type), last: response.output_text };
  },

  // Leaving a stream early must end it, not the process.
  async aborts(model) {
    const asked = { model, input: "write 20000 words", max_output_tokens: 60000, stream: true };
    const stream = await client.responses.create(asked);
    let seen = 0;
    for await (const event of stream) {
      if (event.type === "response.output_text.delta" && ++seen === 3) break;
    }
    return { seen, aborted: stream.controller.signal.aborted };
  },

  truncated: (model) => end(async () => ending(await unary({ model, max_output_tokens: SHORT })(LONG))),
  truncated_stream: (model) => end(async () => ending(await helper({ model, max_output_tokens: SHORT })(LONG))),
  refused: (model) => end(async () => ending(await unary({ model })(REFUSED))),
  refused_stream: (model) => end(async () => ending(await helper({ model })(REFUSED))),

  bad_request: (model) => failure(model, fault('status=400 message="no such luck"', model)),
  unknown_key: (model) => caught(() => stranger.responses.create({ model, input: ECHO })),
  unknown_model: (model) => failure(`${model}-no`, ECHO),
  rate_limit: (model) => failure(model, fault("status=429", model)),
  unavailable: (model) => failure(model, fault('status=503 message="out of service"', model)),
  async unavailable_twice(model) {
    const input = fault("status=503 times=2", model);
    return { text: (await plain.responses.create({ model, input })).output_text };
  },
  broken_stream: (model) => failed(model, inStream("error_after_event=6")),
  broken_stream_helper: (model) => caught(() => helper({ model })(inStream("error_after_event=6"))),
  cut_stream: (model) => failed(model, inStream("truncate_after_event=6")),
});
