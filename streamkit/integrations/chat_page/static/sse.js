// Server-sent events of a body that is read with fetch: EventSource takes no headers, and reconnects when it must not.
// The format is https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation.

/** Text of an event stream, cut anywhere, to its events. */
export class EventParser {
  #line = ""; // what has come of a line
  #afterReturn = false; // a "\r" ended the last line: a "\n" that follows belongs to it
  #data = null;
  #type = "";
  #id = ""; // of the last event that had one: later ones inherit it

  /** Give the events, {type, data, id}, that this text completes. */
  feed(text) {
    if (text === "") return [];
    const rest = this.#afterReturn && text.startsWith("\n") ? text.slice(1) : text;
    this.#afterReturn = text.endsWith("\r");
    const lines = rest.split(/\r\n|\r|\n/);
    lines[0] = this.#line + lines[0];
    this.#line = lines.pop();
    return lines.map((line) => this.#read(line)).filter((event) => event !== null);
  }

  #read(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data = this.#data === null ? value : `${this.#data}\n${value}`;
    else if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    return null; // a comment, a reconnection time (ours is our own), or something newer
  }

  #dispatch() {
    const [data, type] = [this.#data, this.#type];
    this.#data = null;
    this.#type = "";
    return data === null ? null : { type: type || "message", data, id: this.#id };
  }
}

/** Give the events of a response's body; `heard` is called for every piece that comes, comments included. */
export async function* readEvents(body, heard = () => {}) {
  const reader = body.getReader();
  const decoder = new TextDecoder(); // which drops a byte order mark
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return; // what lacks its blank line is no event
      heard();
      yield* parser.feed(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {}); // it may have failed already
  }
}
