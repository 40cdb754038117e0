// An answer at the server: asked for, followed to its end through cut connections, cancelled.

import { readEvents } from "./sse.js";

const MOST_FAILURES = 10; // in a row; about half a minute
const FIRST_PAUSE = 250; // milliseconds, doubled each time
const LONGEST_PAUSE = 4000;

/** What trying again by itself will not mend; the message is for the user. */
export class Refused extends Error {}

/** Ask, and give the answer's id. */
export async function ask(messages) {
  const request = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ messages }) };
  let response;
  try {
    response = await fetch("answers", request);
  } catch {
    throw new Refused("The server cannot be reached.");
  }
  if (!response.ok) throw new Refused(await reason(response));
  return (await response.json()).id;
}

/** Cancel an answer; also in the moment in which the page goes away. */
export function cancel(id) {
  fetch(`answers/${id}`, { method: "DELETE", keepalive: true }).catch(() => {}); // then it ends as one that was left
}

/** Give what the events of an ended answer do not tell, or {}. */
export async function facts(id) {
  try {
    const response = await fetch(`answers/${id}/facts`);
    return response.ok ? await response.json() : {};
  } catch {
    return {};
  }
}

/**
 * Give what is told of an answer, [id of the event, what it says], from the event after `last` on, exactly once, up to
 * "done" or "error". Connections that are cut, or silent for `silence` milliseconds, are made anew; `onConnection` is
 * told so: false when one is cut, true when the next one brings something.
 */
export async function* follow(id, { last = null, silence, signal, onConnection }) {
  for (let failures = 0; ; failures += 1) {
    if (failures > 0) await pause(Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1)), signal);
    try {
      for await (const event of connection(id, last, silence, signal)) {
        if (failures > 0) onConnection(true);
        failures = 0;
        last = event.id;
        const told = JSON.parse(event.data);
        yield [last, told];
        if (told.type === "done" || told.type === "error") return;
      }
    } catch (error) {
      if (signal.aborted || error instanceof Refused) throw error;
    }
    if (failures >= MOST_FAILURES) throw new Refused("The connection to the server is lost.");
    onConnection(false);
  }
}

/** Give the events of one connection. */
async function* connection(id, last, silence, signal) {
  const here = new AbortController();
  const leave = () => here.abort();
  let timer = setTimeout(leave, silence);
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(leave, silence);
  };
  signal.addEventListener("abort", leave);
  try {
    signal.throwIfAborted();
    const headers = last === null ? {} : { "Last-Event-ID": last };
    const response = await fetch(`answers/${id}`, { headers, signal: here.signal, cache: "no-store" });
    if (response.status >= 500) return; // a proxy whose server is away, mostly
    if (!response.ok || response.status === 204) throw new Refused(await reason(response));
    yield* readEvents(response.body, heard);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", leave);
    leave();
  }
}

async function reason(response) {
  try {
    return capitalized((await response.json()).error);
  } catch {
    return `The server answered with status ${response.status}.`;
  }
}

function capitalized(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

/** Wait, but not for longer than it takes to come online, or to give up. */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(go, milliseconds);
    function go() {
      clearTimeout(timer);
      removeEventListener("online", go);
      signal.removeEventListener("abort", go);
      resolve();
    }
    addEventListener("online", go);
    signal.addEventListener("abort", go);
  });
}
