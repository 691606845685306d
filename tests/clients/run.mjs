// Does one run of a client: a line of JSON in says which, a line of JSON out what came of it. Between them the run may
// say a line and wait for one.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { parse } from "graphql";

const require = createRequire(import.meta.url);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const next = async () => (await lines.next()).value;
const sent = [];
const warned = [];
console.warn = console.error = (...said) => warned.push(said.join(" "));

async function noted(url, init) {
  const { query } = init.body ? JSON.parse(init.body) : Object.fromEntries(new URL(url).searchParams);
  const name = parse(query).definitions.find((each) => each.kind === "OperationDefinition").name?.value ?? "";
  sent.push(`${init.method} ${name}`);
  const note = () => sent.push(`aborted ${name}`);
  init.signal?.addEventListener("abort", note);
  const answer = await fetch(url, init);
  init.signal?.removeEventListener("abort", note);
  return answer;
}

async function meet(said) {
  console.log(said);
  await next();
}

const { client, run, url, token, ...given } = JSON.parse(await next());
const runs = require(`./${client}_runs.js`);
const answer = await runs[run](runs.open(url, () => token, noted), given, meet);
console.log(JSON.stringify({ answer, sent, warned }));
process.exit();
