/** The screen "Calendar feeds" in React: `<CalendarFeeds url="https://feeds.example.com/graphql" token={freshToken} />`. */

import { useCallback, useEffect, useMemo, useRef, useState } from "react";

import { ApiError, type Feed, type Link, UserError, connect, generate, readFeeds, resetAll } from "./api";

interface Props {
  url: string;
  /** Brings a valid bearer token of the user; asked before each call. Let it be the same function at each rendering. */
  token: () => Promise<string>;
}

export function CalendarFeeds({ url, token }: Props) {
  const send = useMemo(() => connect(url, token), [url, token]);
  const [feeds, setFeeds] = useState<Feed[] | null>(null);
  const [failed, setFailed] = useState<string | null>(null);
  const requestId = useRef(""); // of a reset that may have to be repeated

  const attempt = useCallback(async (work: () => Promise<void>) => {
    setFailed(null);
    try {
      await work();
    } catch (error) {
      setFailed(words(error));
    }
  }, []);
  const load = useCallback(() => attempt(async () => setFeeds(await readFeeds(send))), [attempt, send]);
  useEffect(() => void load(), [load]);

  const onGenerate = (feed: Feed) =>
    attempt(async () => {
      const fresh = await generate(send, feed);
      setFeeds((all) => all?.map((one) => (one.id === fresh.id ? fresh : one)) ?? null);
    });
  const onReset = () => {
    if (!confirm("All your links get new addresses, and every device has to subscribe again. Reset them?")) return;
    requestId.current ||= crypto.randomUUID();
    void attempt(async () => {
      await resetAll(send, requestId.current);
      requestId.current = "";
      await load();
    });
  };

  return (
    <section aria-busy={!feeds && !failed}>
      <h1>Calendar feeds</h1>
      {failed && (
        <p role="alert">
          {failed} <button onClick={() => void load()}>Try again</button>
        </p>
      )}
      {feeds?.map((feed) => (
        <FeedCard key={feed.id} feed={feed} onGenerate={() => void onGenerate(feed)} />
      ))}
      {feeds?.some((feed) => feed.links.length > 0) && <button onClick={onReset}>Reset all links…</button>}
    </section>
  );
}

function FeedCard({ feed, onGenerate }: { feed: Feed; onGenerate: () => void }) {
  return (
    <article aria-label={feed.name}>
      <h2 style={{ borderInlineStart: `0.5rem solid ${feed.calendar?.color ?? "gray"}` }}>{feed.name}</h2>
      {feed.links.length === 0 && <button onClick={onGenerate}>Generate link</button>}
      {feed.links.map((link) => (
        <LinkView key={link.id} link={link} />
      ))}
    </article>
  );
}

function LinkView({ link }: { link: Link }) {
  const [copied, setCopied] = useState(false);
  if (link.status !== "ACTIVE" || !link.url) return <p>This link does not work at the moment: {link.status}</p>;
  const { url, subscribe, clients } = link;
  const copy = async () => {
    await navigator.clipboard.writeText(url);
    setCopied(true);
  };
  return (
    <div>
      {link.name && <h3>{link.name}</h3>}
      <input readOnly aria-label="Private link" value={url} />
      <button onClick={() => void copy()}>Copy</button> <span role="status">{copied && "Copied"}</span>
      <p>
        <a href={subscribe.google ?? ""}>Google Calendar</a> · <a href={subscribe.apple ?? ""}>Apple Calendar</a> ·{" "}
        <a href={subscribe.outlook ?? ""}>Outlook.com</a> · <a href={subscribe.outlookOffice ?? ""}>Microsoft 365</a>
      </p>
      {clients.map((client) => (
        <p key={client.name}>
          Last fetched by {client.name} at {new Date(client.lastPolledAt).toLocaleString()}
          {client.stale && ": it has stopped"}
        </p>
      ))}
    </div>
  );
}

function words(error: unknown): string {
  if (error instanceof UserError) return error.message;
  if (error instanceof ApiError && error.code === "UNAUTHENTICATED") return "Please sign in again.";
  if (error instanceof ApiError && ["UNAVAILABLE", "UNREACHABLE", "TIMEOUT"].includes(error.code)) {
    return "The calendar service is not available at the moment.";
  }
  return "Something went wrong.";
}
