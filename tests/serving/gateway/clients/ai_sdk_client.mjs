// Vercel's AI SDK against a gateway; test_official_clients.py runs it.
//
// Arguments and output: see langchain_client.py, but for the last row, `refused`: what becomes of
// openai.completion(). Address and key: OPENAI_BASE_URL and OPENAI_API_KEY.
import { openai } from "@ai-sdk/openai";
import { generateText, streamText } from "ai";

const rows = [];

async function add(way, sent, result) {
  const { inputTokens: input, outputTokens: output } = await result.usage;
  rows.push({ way, sent, text: await result.text, input, output });
}

function fail({ error }) {
  throw error;
}

const models = {
  default: openai("summarizer"),
  responses: openai.responses("summarizer"),
  chat: openai.chat("summarizer"),
};
for (const sent of process.argv.slice(2)) {
  const messages = [
    { role: "user", content: "A b" },
    { role: "assistant", content: "A B" },
    { role: "user", content: [{ type: "text", text: sent }] },
  ];
  for (const [way, model] of Object.entries(models)) {
    await add(way, sent, await generateText({ model, prompt: sent }));
    await add(`${way}, of a talk`, sent, await generateText({ model, system: "Be brief.", messages }));
    await add(`${way}, streamed`, sent, streamText({ model, prompt: sent, onError: fail }));
  }
}

let refused = null;
try {
  await generateText({ model: openai.completion("summarizer"), prompt: process.argv[2] });
} catch (error) {
  refused = { status: error.statusCode, message: error.message };
}
console.log(JSON.stringify([...rows, { refused }]));
