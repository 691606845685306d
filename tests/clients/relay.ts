import { Environment, Network, RecordSource, Store, type FetchFunction } from "relay-runtime";

export function relayEnvironment(url: string, token: () => string, fetch = globalThis.fetch) {
  const ask: FetchFunction = async ({ text: query }, variables) => {
    const headers = { authorization: `Bearer ${token()}`, "content-type": "application/json" };
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
    return answer.json();
  };
  return new Environment({ network: Network.create(ask), store: new Store(new RecordSource()) });
}
