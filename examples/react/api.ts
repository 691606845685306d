/** The calendar feeds API: its three operations of the screen, with their types, and what can go wrong. */

export interface Link {
  id: string;
  name: string; // "" for the default link
  status: "ACTIVE" | "PAUSED" | "EXPIRED" | "REVOKED" | "NO_ACCESS" | "KEY_DROPPED" | "DISABLED";
  url: string | null;
  subscribe: { google: string | null; apple: string | null; outlook: string | null; outlookOffice: string | null };
  clients: { name: string; lastPolledAt: string; stale: boolean }[];
}

export interface Feed {
  id: string;
  name: string;
  calendar: { id: string; color: string | null } | null; // null: all the user's calendars in one feed
  links: Link[];
}

interface Problem {
  __typename: string;
  message: string;
  path: string[];
}

/** Not the user's doing. `code` is in `extensions.code` of the answer, or UNREACHABLE if there was none. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** What the user can mend: show the message; `__typename` says which it is, to be told in other words. */
export class UserError extends Error {
  constructor(readonly problems: Problem[]) {
    super(problems.map((problem) => problem.message).join(" "));
  }
}

/** Sends an operation. `token` is asked each time, as it may have been renewed. */
export type Send = <Data>(query: string, variables?: Record<string, unknown>) => Promise<Data>;

export function connect(url: string, token: () => Promise<string>): Send {
  return async <Data>(query: string, variables: Record<string, unknown> = {}) => {
    const headers = { Authorization: `Bearer ${await token()}`, "Content-Type": "application/json" };
    let answer;
    try {
      answer = await (await fetch(url, { method: "POST", headers, body: JSON.stringify({ query, variables }) })).json();
    } catch {
      throw new ApiError("UNREACHABLE", "The service cannot be reached.");
    }
    const [error] = answer.errors ?? [];
    if (error) throw new ApiError(error.extensions.code, error.message);
    return answer.data as Data;
  };
}

const FEED = `fragment Feed on CalendarFeed {
  id name calendar { id color }
  links { id name status url subscribe { google apple outlook outlookOffice } clients { name lastPolledAt stale } }
}`;
const PROBLEMS = "userErrors { __typename message path }";

export async function readFeeds(send: Send): Promise<Feed[]> {
  return (await send<{ calendarFeeds: Feed[] }>(`query Feeds { calendarFeeds { ...Feed } } ${FEED}`)).calendarFeeds;
}

/** The feed with its default link, which is made if there is none. */
export async function generate(send: Send, feed: Feed): Promise<Feed> {
  const query = `mutation Generate($input: GenerateCalendarUrlInput!) {
    generateCalendarUrl(input: $input) { feed { ...Feed } ${PROBLEMS} }
  } ${FEED}`;
  const input = { calendarId: feed.calendar?.id };
  const data = await send<{ generateCalendarUrl: { feed: Feed | null; userErrors: Problem[] } }>(query, { input });
  const payload = data.generateCalendarUrl;
  if (!payload.feed) throw new UserError(payload.userErrors);
  return payload.feed;
}

/** Gives all links new URLs. The same `requestId` again resets nothing again, so a call whose answer was lost is repeated. */
export async function resetAll(send: Send, requestId: string): Promise<number> {
  const query = `mutation Reset($input: ResetCalendarFeedsInput!) {
    resetCalendarFeeds(input: $input) { resetCount ${PROBLEMS} }
  }`;
  const data = await send<{ resetCalendarFeeds: { resetCount: number; userErrors: Problem[] } }>(query, {
    input: { requestId },
  });
  const { resetCount, userErrors } = data.resetCalendarFeeds;
  if (userErrors.length) throw new UserError(userErrors);
  return resetCount;
}
