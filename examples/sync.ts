/**
 * Keeps calendar-feeds in step with a CRM: sends what has changed since the last run, and ends what is gone.
 *
 *     export GRAPHQL_URL=https://feeds.example.com/graphql API_KEY=cfk_...
 *     npm install typescript @types/node
 *     npx tsc sync.ts --target es2022 --lib es2022 --module nodenext --types node && node sync.js export/
 *
 * The export is a folder of JSON Lines, each line an input of the API: users.jsonl, calendars.jsonl, access.jsonl and
 * activities.jsonl, each complete. Map the fields of your CRM where they are read (`read`), or where you write them.
 *
 * What the service has acknowledged is remembered in the folder, so a run that was stopped goes on where it was; what
 * is sent twice changes nothing. Items that the service refuses are printed, and written to refused.jsonl with the
 * reasons; all others go in. Exit status: 0 everything is in, 1 some were refused, 2 it had to stop: run it again.
 * Needs Node.js 18 and nothing else.
 */
import { createHash } from "node:crypto";
import { appendFileSync, closeSync, existsSync, fsyncSync, openSync, writeFileSync } from "node:fs";
import { readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

type Item = { [field: string]: unknown };
type UserError = { message: string; path: string[] };
type Answer = {
  data?: { [mutation: string]: { userErrors: UserError[] } };
  errors?: { message: string; extensions: { code: string; path?: string[] } }[];
};
type Known = { [file: string]: { [key: string]: string } }; // of each file the digest of each item, by its key

const MOST_BYTES = 9_000_000; // in a call
const MOST_TRIES = 10; // some five minutes
const LONGEST_WAIT = 60; // seconds
const MOST_GONE = 0.25; // of what was there, beside a few: more looks like an export that failed
const FEW = 20;
const PASSING = ["INTERNAL", "TIMEOUT", "UNAVAILABLE"]; // codes of errors
const UNSURE = ""; // in place of a digest: it was sent, and may be there

/** Going on is of no use; the message says why. */
class StopError extends Error {}

/** What may be better in a moment: no network, a restart, too many calls. `wait` is what the service asks for. */
class TryAgainError extends Error {
  wait: number | undefined;

  constructor(reason: string, wait?: number) {
    super(reason);
    this.wait = wait;
  }
}

/** There are too many items in the call, or too long ones. */
class TooMuchError extends Error {}

/** A mutation that takes a list of items. */
interface Call {
  mutation: string;
  items: string; // what its input calls the list
  type?: string; // of the activities that it is about
}

/** A file of the export: how its items are told apart and sent, and how those are ended that are gone from it. */
interface Step {
  name: string;
  key: (item: Item) => string;
  call: Call;
  ending: (key: string) => [Call, unknown]; // what ends the item of a key
  unsaid: Item; // what is meant where a line says nothing: the service would leave it as it is
}

const UPSERT_USERS: Call = { mutation: "upsertUsers", items: "users" };
const UPSERT_CALENDARS: Call = { mutation: "upsertCalendars", items: "calendars" };
const SET_ACCESS: Call = { mutation: "setCalendarAccess", items: "calendars" };
const UPSERT_ACTIVITIES: Call = { mutation: "upsertActivities", items: "activities" };

const TIMES = ["startsAt", "endsAt", "startsOn", "endsOn", "dueAt", "dueOn", "timeZone", "recurrence"];
const REST = ["ownerExternalId", "description", "location", "url", "status", "priority", "participants", "private"];
const STEPS: Step[] = [
  {
    name: "users",
    key: (item) => String(item.externalId),
    call: UPSERT_USERS,
    ending: (key) => [UPSERT_USERS, { externalId: key, active: false }],
    unsaid: { active: true },
  },
  {
    name: "calendars",
    key: (item) => String(item.externalId),
    call: UPSERT_CALENDARS,
    ending: (key) => [UPSERT_CALENDARS, { externalId: key, deleted: true }],
    unsaid: { deleted: false },
  },
  {
    name: "access",
    key: (item) => String(item.calendarExternalId),
    call: SET_ACCESS,
    ending: (key) => [SET_ACCESS, { calendarExternalId: key, userExternalIds: [] }],
    unsaid: {},
  },
  {
    name: "activities",
    key: (item) => `${item.type} ${item.externalId}`, // a call and a meeting may have the same id
    call: UPSERT_ACTIVITIES,
    ending: (key) => {
      const [type] = key.split(" ", 1);
      return [{ mutation: "deleteActivities", items: "externalIds", type }, key.slice(type.length + 1)];
    },
    unsaid: Object.fromEntries([...TIMES, ...REST].map((field) => [field, null])),
  },
];

/** The items of a file by their keys. Map the fields of your CRM here. */
function read(folder: string, step: Step): Map<string, Item> {
  const path = join(folder, `${step.name}.jsonl`);
  try {
    const lines = readFileSync(path, "utf8").split("\n").filter((line) => line.trim());
    const items = lines.map((line): Item => ({ ...step.unsaid, ...JSON.parse(line) }));
    return new Map(items.map((item) => [step.key(item), item]));
  } catch (error) {
    throw new StopError(`${path} cannot be read (${error})`);
  }
}

function digest(item: Item): string {
  return createHash("sha256").update(JSON.stringify(item)).digest("hex").slice(0, 32);
}

/** The service. Every call may be made again: it changes nothing that is as it should be. */
class Api {
  #url: string;
  #headers: Record<string, string>;

  constructor(url: string, key: string) {
    this.#url = url;
    this.#headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  }

  /** What is wrong with the items, after as many tries as it takes. */
  async call({ mutation, items: list, type }: Call, items: unknown[]): Promise<UserError[]> {
    const kind = mutation[0].toUpperCase() + mutation.slice(1);
    const query = `mutation ($input: ${kind}Input!) { ${mutation}(input: $input) { userErrors { message path } } }`;
    const body = JSON.stringify({ query, variables: { input: { [list]: items, type } } });
    if (Buffer.byteLength(body) > MOST_BYTES) throw new TooMuchError("It is too large.");
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      try {
        return errorsOf(mutation, await this.#post(body));
      } catch (error) {
        if (!(error instanceof TryAgainError)) throw error;
        const wait = Math.min(error.wait ?? (0.5 + Math.random() / 2) * 2 ** tries, LONGEST_WAIT);
        say(`${error.message}: once more in ${wait.toFixed(0)} s`);
        await sleep(wait * 1000);
      }
    }
    throw new StopError(`The service did not answer in ${MOST_TRIES} tries.`);
  }

  async #post(body: string): Promise<Answer> {
    let answer: Response, said: string;
    try {
      const signal = AbortSignal.timeout(60_000);
      answer = await fetch(this.#url, { method: "POST", headers: this.#headers, body, signal, redirect: "manual" });
      said = await answer.text();
    } catch (error) { // no network, or it broke in the middle
      throw new TryAgainError(`No answer (${(error as { cause?: { code?: string } }).cause?.code ?? "broken off"})`);
    }
    if ([408, 429].includes(answer.status) || answer.status >= 500) {
      throw new TryAgainError(`HTTP ${answer.status}`, seconds(answer.headers.get("Retry-After")));
    }
    if (answer.status === 413) throw new TooMuchError("It is too large.");
    try {
      return JSON.parse(said) as Answer;
    } catch {
      throw new StopError(`HTTP ${answer.status}, and no answer of calendar-feeds: is GRAPHQL_URL right?`);
    }
  }
}

function seconds(retryAfter: string | null): number | undefined {
  return retryAfter && /^\d+$/.test(retryAfter) ? Number(retryAfter) : undefined;
}

/** What is wrong with the items, by paths like ["activities", "17", "endsAt"]; what else is wrong is thrown. */
function errorsOf(mutation: string, { data, errors }: Answer): UserError[] {
  if (!errors) return data![mutation].userErrors;
  // A value that is none of its type, like a date, is an error of the whole query; it has the path of the variable.
  const ofItems = errors.filter(({ extensions }) => extensions.path);
  if (ofItems.length) return ofItems.map(({ message, extensions }) => ({ message, path: extensions.path!.slice(1) }));
  const [{ message, extensions }] = errors;
  throw new (PASSING.includes(extensions.code) ? TryAgainError : StopError)(message);
}

/** One run. What is known is written to the state file before anything is sent, and after each acknowledgement. */
class Sync {
  sent = 0;
  refused = 0;
  #api: Api;
  #batch: number;
  #items: Map<string, Map<string, Item>>;
  #known: Known;
  #statePath: string;
  #refusedPath: string;

  constructor(api: Api, folder: string, batch: number) {
    this.#api = api;
    this.#batch = batch;
    this.#items = new Map(STEPS.map((step) => [step.name, read(folder, step)]));
    this.#statePath = join(folder, ".sync-state.json");
    this.#known = existsSync(this.#statePath) ? JSON.parse(readFileSync(this.#statePath, "utf8")) : {};
    for (const step of STEPS) this.#known[step.name] ??= {};
    this.#refusedPath = join(folder, "refused.jsonl");
    rmSync(this.#refusedPath, { force: true });
  }

  /** Take nothing for acknowledged: all is sent again, as after the service was restored from a backup. */
  forget(): void {
    for (const known of Object.values(this.#known)) {
      for (const key of Object.keys(known)) known[key] = UNSURE;
    }
  }

  /** Send what changed, each file in its turn; then end what is gone, the other way round. */
  async run(deleteMany: boolean): Promise<void> {
    const work = STEPS.map((step) => {
      const [changed, gone] = [this.#changed(step), this.#gone(step, deleteMany)];
      const fresh = new Set([...changed.keys()].filter((key) => !Object.hasOwn(this.#known[step.name], key)));
      return { step, changed, fresh, gone };
    });
    for (const { step, changed } of work) {
      for (const key of changed.keys()) this.#known[step.name][key] = UNSURE;
    }
    this.#save();
    for (const { step, changed, fresh } of work) await this.#upsert(step, changed, fresh);
    for (const { step, gone } of work.reverse()) await this.#end(step, gone);
  }

  #changed(step: Step): Map<string, Item> {
    const known = this.#known[step.name];
    return new Map([...this.#items.get(step.name)!].filter(([key, item]) => known[key] !== digest(item)));
  }

  #gone(step: Step, deleteMany: boolean): string[] {
    const known = Object.keys(this.#known[step.name]);
    const gone = known.filter((key) => !this.#items.get(step.name)!.has(key));
    if (gone.length > Math.max(FEW, MOST_GONE * known.length) && !deleteMany) {
      throw new StopError(`${gone.length} of ${known.length} ${step.name} are gone: if that is so, say --delete-many.`);
    }
    return gone;
  }

  async #upsert(step: Step, items: Map<string, Item>, fresh: Set<string>): Promise<void> {
    const known = this.#known[step.name];
    for (const batch of this.#batches(step.call, items)) {
      const done = new Set(await this.#send(step, step.call, batch));
      for (const key of batch.keys()) {
        if (done.has(key)) known[key] = digest(items.get(key)!);
        else if (fresh.has(key)) delete known[key]; // it was refused, and is not there
      }
    }
  }

  async #end(step: Step, keys: string[]): Promise<void> {
    const calls = new Map<string, { call: Call; items: Map<string, unknown> }>();
    for (const key of keys) {
      const [call, item] = step.ending(key);
      const like = JSON.stringify(call);
      if (!calls.has(like)) calls.set(like, { call, items: new Map() });
      calls.get(like)!.items.set(key, item);
    }
    for (const { call, items } of calls.values()) {
      for (const batch of this.#batches(call, items)) {
        await this.#send(step, call, batch);
        for (const key of batch.keys()) delete this.#known[step.name][key]; // refused here: not there, and told once
      }
    }
  }

  /** The items in batches; after each of them the state is saved, and the bar moves on. */
  *#batches(call: Call, items: Map<string, unknown>): Generator<Map<string, unknown>> {
    const all = [...items];
    for (let start = 0; start < all.length; start += this.#batch) {
      const batch = all.slice(start, start + this.#batch);
      yield new Map(batch);
      this.#save();
      bar(call.mutation, start + batch.length, all.length);
    }
  }

  /** Send a batch, of which all goes in or nothing: without what is refused, until it does. The keys of that. */
  async #send(step: Step, call: Call, batch: Map<string, unknown>): Promise<string[]> {
    let keys = [...batch.keys()];
    try {
      while (keys.length) {
        const errors = await this.#api.call(call, keys.map((key) => batch.get(key)));
        if (!errors.length) break;
        const refused = byPlace(errors);
        for (const [place, why] of refused) this.#refuse(step, keys[place], batch.get(keys[place]), why);
        keys = keys.filter((_, place) => !refused.has(place));
      }
    } catch (error) {
      if (!(error instanceof TooMuchError)) throw error;
      if (keys.length === 1) {
        this.#refuse(step, keys[0], batch.get(keys[0]), [{ message: error.message, path: [call.items, "0"] }]);
        return [];
      }
      const half = Math.floor(keys.length / 2);
      const part = (some: string[]) => this.#send(step, call, new Map(some.map((key) => [key, batch.get(key)])));
      return [...(await part(keys.slice(0, half))), ...(await part(keys.slice(half)))];
    }
    this.sent += keys.length;
    return keys;
  }

  #refuse(step: Step, key: string, item: unknown, errors: UserError[]): void {
    this.refused += 1;
    for (const { path, message } of errors) say(`${step.name} ${key}: ${path.slice(2).join(".")}: ${message}`);
    appendFileSync(this.#refusedPath, JSON.stringify({ item, errors }) + "\n");
  }

  /** All of the state or nothing, whatever happens meanwhile. */
  #save(): void {
    const draft = `${this.#statePath}.${process.pid}`;
    const file = openSync(draft, "w");
    writeFileSync(file, JSON.stringify(this.#known));
    fsyncSync(file);
    closeSync(file);
    renameSync(draft, this.#statePath);
  }
}

/** The errors by the place of the item in the list that was sent. */
function byPlace(errors: UserError[]): Map<number, UserError[]> {
  const found = new Map<number, UserError[]>();
  for (const error of errors) {
    if (error.path.length < 2) throw new TooMuchError(error.message);
    const place = Number(error.path[1]);
    found.set(place, [...(found.get(place) ?? []), error]);
  }
  return found;
}

function say(text: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}\n` : `${text}\n`);
}

function bar(title: string, done: number, total: number): void {
  if (!process.stderr.isTTY) return;
  const full = Math.round((30 * done) / total);
  process.stderr.write(`\r\x1b[K${title} ${"━".repeat(full)}${"╌".repeat(30 - full)} ${done}/${total}`);
  if (done === total) process.stderr.write("\n");
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      batch: { type: "string", default: "500" }, // items in one call, at most 1,000
      all: { type: "boolean", default: false }, // send what has not changed, too
      "delete-many": { type: "boolean", default: false }, // end however much is gone from the export
    },
  });
  const [url, key] = [process.env.GRAPHQL_URL, process.env.API_KEY?.trim()];
  try {
    if (!url || !key || !/^[\x21-\x7e]+$/.test(key) || positionals.length !== 1) {
      throw new StopError("Set GRAPHQL_URL and API_KEY, and name the folder of the export.");
    }
    const sync = new Sync(new Api(url, key), positionals[0], Number(values.batch));
    if (values.all) sync.forget();
    await sync.run(values["delete-many"] ?? false);
    say(`${sync.sent} sent, ${sync.refused} refused`);
    return sync.refused ? 1 : 0;
  } catch (error) {
    if (!(error instanceof StopError)) throw error;
    say(`Stopped. ${error.message}`);
    return 2;
  }
}

main().then((status) => process.exit(status));
