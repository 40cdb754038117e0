// The conversation, and where it is kept: in the tab's session storage, which a reload does not empty and a new tab does.

const KEY = `streamkit:${location.pathname}`; // pages mounted at several places do not share theirs

/**
 * Give a new turn. Its `state` is "running", "done", "stopped" or "failed"; `id` names its answer at the server and
 * `last` the last event of it that is in `text` and `thinking`; `reason` is why the model ended, in streamkit's words;
 * times are milliseconds since 1970.
 */
export function newTurn(question) {
  return {
    question, text: "", thinking: "", state: "running", error: "", id: null, last: null,
    asked: Date.now(), first: null, firstText: null, ended: null, tokens: 0, counted: false, reason: "",
  };
}

/** Give the turns that were kept. */
export function load() {
  try {
    const turns = JSON.parse(sessionStorage.getItem(KEY));
    return Array.isArray(turns) && turns.every(isTurn) ? turns : [];
  } catch {
    return []; // storage is forbidden
  }
}

/** Another program may have been at this address before, or another version of this one. */
function isTurn(value) {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(newTurn("")).every(([name, blank]) =>
    blank === null ? isOptional(value[name]) : typeof value[name] === typeof blank,
  );
}

/** An id, or a time, that need not be there. */
function isOptional(value) {
  return value === null || typeof value === "string" || typeof value === "number";
}

/** Keep the turns; false where there is no room for them. */
export function save(turns) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(turns));
    return true;
  } catch {
    return false;
  }
}

/** Give the messages that ask the last turn's question: a turn that brought no text is as if never asked. */
export function messagesOf(turns) {
  const before = turns.slice(0, -1).filter(({ text }) => text.trim() !== "");
  const said = before.flatMap(({ question, text }) => [
    { role: "user", content: question },
    { role: "assistant", content: text },
  ]);
  return [...said, { role: "user", content: turns.at(-1).question }];
}
