/** The only module that speaks with the service: GraphQL over HTTP, with the user's bearer token. */

import { bearer, refuse } from "./signin.js";

const SECONDS = 60; // for an answer

/** The API did not do it; `code` is that of the first error, or UNREACHABLE. */
export class ApiError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** What the user has to mend: `problems` are the user errors of a mutation. */
export class UserError extends Error {
  constructor(problems) {
    super(problems[0].message);
    this.problems = problems;
  }
}

/** The data that a query or mutation brings. Without a valid token it waits for one. */
export async function ask(query, variables = {}) {
  for (;;) {
    const token = await bearer();
    const { data, errors } = await send(token, JSON.stringify({ query, variables }));
    const [error] = errors ?? [];
    if (!error) return data;
    if (error.extensions?.code !== "UNAUTHENTICATED") throw new ApiError(error.extensions?.code, error.message);
    refuse(token);
  }
}

/** The payload of a mutation that takes one `input`; what the user has to mend is thrown. */
export async function change(name, selection, input) {
  const type = `${name[0].toUpperCase()}${name.slice(1)}Input`;
  const query = `mutation ($input: ${type}!) { ${name}(input: $input) { ${selection} userErrors { __typename message path } } }`;
  const fragments = ["Feed", "Link"].filter((one) => selection.includes(`...${one}`) || selection.includes("...Feed"));
  const payload = (await ask([query, ...fragments.map((one) => FRAGMENTS[one])].join("\n"), { input }))[name];
  if (payload.userErrors.length) throw new UserError(payload.userErrors);
  return payload;
}

async function send(token, body) {
  let answer;
  try {
    answer = await fetch("graphql", {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body,
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(SECONDS * 1000),
    });
    return await answer.json();
  } catch (error) {
    throw new ApiError(answer || error.name !== "TimeoutError" ? "UNREACHABLE" : "TIMEOUT", "");
  }
}

const FRAGMENTS = {
  Link: `fragment Link on FeedLink {
    id name status url webcalUrl createdAt resetAt graceEndsAt expiresAt pausedAt pausedBy alarmedAt lastPolledAt
    subscribe { google apple outlook outlookOffice }
    options { activityTypes tasksAs detail daysBack daysAhead timeStyle participants completedTasks cancelled
      reminderMinutes titleWith }
    clients { name lastPolledAt polls lastAnswer usualInterval stale }
  }`,
  Feed: `fragment Feed on CalendarFeed { id name calendar { id name color } links { ...Link } }`,
};

/** Who uses the screen, what they may do, and everything that they can subscribe to. */
export const readScreen = () =>
  ask(`{
    viewer { id name administrator timeZone locale }
    feedPolicy { enabled linksPerUser longestDays forcedDetail allowedTypes }
    calendarFeeds { ...Feed }
  } ${FRAGMENTS.Feed} ${FRAGMENTS.Link}`);

export const readFeeds = async () =>
  (await ask(`{ calendarFeeds { ...Feed } } ${FRAGMENTS.Feed} ${FRAGMENTS.Link}`)).calendarFeeds;

export const readQrCode = async (id) =>
  (await ask("query ($id: ID!) { node(id: $id) { ... on FeedLink { qrCodeSvg } } }", { id })).node.qrCodeSvg;
