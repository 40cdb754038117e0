// The page: what its keys and buttons do, and the answer that is under way.

import { Refused, ask, cancel, facts, follow } from "./answer.js";
import { copy } from "./clipboard.js";
import { load, messagesOf, newTurn, save } from "./conversation.js";
import { guessTokens, measured } from "./meter.js";
import { Scrolling } from "./scrolling.js";
import { TurnView } from "./turn_view.js";

const SAVE_EVERY = 1000; // milliseconds, while an answer grows
const SIGNS_OF_LIFE = 4; // as many may be missed before a connection counts as dead

const page = Object.fromEntries(
  ["composer", "conversation", "input", "latest", "model", "new", "send", "stop", "announcer", "welcome"].map((id) => [
    id,
    document.getElementById(id),
  ]),
);
const scrolling = new Scrolling(page.latest);

let silence = 60_000; // milliseconds; what the server says replaces it
let turns = [];
let current = null; // the answer under way: {turn, view, controller}
let saved = 0;

// -- an answer

/** Ask the last turn's question, or go on with its answer. */
async function run(view) {
  const { turn } = view;
  const controller = new AbortController();
  current = { turn, view, controller };
  showBusy(true);
  announce("Answering");
  try {
    await receive(turn, view, controller.signal);
  } catch (error) {
    if (!controller.signal.aborted) end(turn, "failed", error instanceof Refused ? error.message : String(error));
  }
  if (current?.turn !== turn || turn.state === "running") return; // a new chat has begun, or the page is left
  current = null;
  finish(turn, view);
  if (turn.state === "done") await showReason(turn, view);
}

/** Show why an answer ended: its last event does not tell. */
async function showReason(turn, view) {
  turn.reason = (await facts(turn.id)).finish_reason ?? "";
  view.update();
  keep();
}

async function receive(turn, view, signal) {
  if (turn.id === null) {
    turn.id = await begun(ask(messagesOf(turns)), signal);
    keep();
  }
  const onConnection = (connected) => {
    view.showConnection(connected);
    announce(connected ? "Connected again" : "Connection lost, reconnecting");
  };
  for await (const [id, told] of follow(turn.id, { last: turn.last, silence, signal, onConnection })) {
    if (signal.aborted) return;
    turn.last = id;
    take(turn, view, told);
    if (Date.now() - saved > SAVE_EVERY) keep();
  }
}

/** Give the id of an answer that is being asked for; who does not wait for it cancels it when it comes. */
function begun(asking, signal) {
  return new Promise((resolve, reject) => {
    const leave = () => {
      reject(signal.reason);
      asking.then(cancel, () => {});
    };
    signal.addEventListener("abort", leave);
    asking.finally(() => signal.removeEventListener("abort", leave)).then(resolve, reject);
  });
}

/** Take what an event tells. */
function take(turn, view, { type, content = "", usage }) {
  if (type === "token" || type === "thinking") {
    turn.first ??= Date.now();
    turn.tokens += guessTokens(content);
  }
  if (type === "token") {
    turn.firstText ??= Date.now();
    turn.text += content;
    view.addText(content);
  } else if (type === "thinking") {
    turn.thinking += content;
    view.addThinking(content);
  } else if (type === "done") {
    if (usage) Object.assign(turn, { tokens: usage.completion_tokens, counted: true });
    end(turn, "done");
  } else if (type === "error") end(turn, "failed", content);
}

function end(turn, state, error = "") {
  Object.assign(turn, { state, error, ended: Date.now() });
}

/** Show that an answer has ended, however it did. */
function finish(turn, view) {
  view.showConnection(true);
  view.update();
  showBusy(false);
  keep();
  const said = { done: `Answer complete. ${measured(turn)}`, stopped: "Stopped", failed: `Failed. ${turn.error}` };
  announce(said[turn.state]);
}

function stop() {
  if (current?.turn.state !== "running") return;
  const { turn, controller } = current;
  end(turn, "stopped");
  if (turn.id !== null) cancel(turn.id);
  controller.abort();
  page.input.focus();
}

// -- the conversation

function send(question) {
  if (current !== null || question.trim() === "") return;
  turns.push(newTurn(question.trim()));
  const view = show(turns.at(-1));
  scrolling.toEnd();
  keep();
  run(view);
}

function show(turn) {
  const view = new TurnView(turn, { onRetry: () => retry(view), onPaint: () => scrolling.grown() });
  view.node.querySelector(".copy-answer").addEventListener("click", (event) => copyAndSay(turn.text, event.target));
  page.conversation.append(view.node);
  page.welcome.hidden = true;
  return view;
}

/** Ask a turn's question again, at the end of the conversation: what was said since is not unsaid. */
function retry(view) {
  if (current !== null) return;
  turns.splice(turns.indexOf(view.turn), 1);
  view.node.remove();
  send(view.turn.question);
  page.input.focus();
}

function newChat() {
  const left = current;
  current = null;
  if (left !== null) {
    if (left.turn.id !== null) cancel(left.turn.id);
    left.controller.abort();
  }
  turns = [];
  page.conversation.replaceChildren();
  page.welcome.hidden = false;
  showBusy(false);
  keep();
  announce("New chat");
  page.input.focus();
}

function keep() {
  saved = Date.now();
  if (!save(turns)) announce("This conversation is too long to survive a reload");
}

// -- the page

function showBusy(busy) {
  const focused = document.activeElement === page.stop;
  page.send.hidden = busy;
  page.stop.hidden = !busy;
  if (focused) page.input.focus();
  showSendable();
}

function showSendable() {
  page.send.disabled = page.input.value.trim() === "";
}

/** Tell a screen reader: begins and ends, never each token. */
function announce(text) {
  page.announcer.textContent = text;
}

function fitInput() {
  page.input.style.height = "auto";
  page.input.style.height = `${page.input.scrollHeight}px`;
  showSendable();
}

async function copyAndSay(text, button) {
  announce(await copy(text, button));
}

async function showStatus() {
  try {
    const status = await (await fetch("status")).json();
    silence = SIGNS_OF_LIFE * 1000 * status.keep_alive;
    page.model.textContent = status.model;
    document.title = `${status.model} · streamkit`;
  } catch {
    page.model.textContent = "not connected";
  }
}

page.composer.addEventListener("submit", (event) => {
  event.preventDefault();
  if (current !== null || page.input.value.trim() === "") return;
  const question = page.input.value;
  page.input.value = "";
  fitInput();
  send(question);
});

page.input.addEventListener("input", fitInput);
page.input.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return; // of an input method, Enter takes a word
  event.preventDefault();
  page.composer.requestSubmit();
});

page.stop.addEventListener("click", stop);
page.new.addEventListener("click", newChat);
page.welcome.addEventListener("click", ({ target }) => {
  if (target.matches("button")) send(target.textContent);
  page.input.focus();
});
page.conversation.addEventListener("click", ({ target }) => {
  if (target.matches("button.copy")) copyAndSay(target.closest("figure").querySelector("code").textContent, target);
});

addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing) stop();
});
// A page that is left may live on unseen, to be shown again: its connection must not, or the answer would never end.
addEventListener("pagehide", () => {
  keep();
  current?.controller.abort();
});
addEventListener("pageshow", ({ persisted }) => {
  if (persisted && current !== null) run(current.view);
});

/** Show what was kept, and go on with an answer that was under way when the page was left. */
function begin() {
  turns = load();
  page.welcome.hidden = turns.length > 0;
  const views = turns.map(show);
  const last = turns.at(-1);
  if (last?.state === "running" && last.id !== null) run(views.at(-1));
  else if (last?.state === "running") {
    end(last, "failed", "The page was left before the answer began.");
    views.at(-1).update();
  }
  scrolling.toEnd();
  fitInput();
  page.input.focus();
}

showStatus().then(begin);
