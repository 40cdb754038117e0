// One question and its answer on the page.

import { MarkdownView } from "./markdown.js";
import { duration, measured } from "./meter.js";
import { Painter } from "./painter.js";

const BRIEF = 500; // milliseconds that need no number

// Looked up once: the long text that lies between them is not to be searched for each frame.
const PARTS = [
  "question", "answer", "thinking", "summary", "thought", "prose", "connection", "notice", "notice-text", "retry",
  "meter", "copy-answer",
];

const template = document.getElementById("turn");

/** Say what there is to say of how an answer ended. */
function noticeOf({ state, error, text, reason }) {
  if (state === "failed") return error;
  if (state === "stopped") return text === "" ? "Stopped before the first word." : "Stopped.";
  if (state === "running") return "";
  if (reason === "length") return "The answer was cut off at the token limit.";
  if (reason === "content_filter") return "The provider's filter ended the answer.";
  return text === "" ? "The answer has no text." : "";
}

/** Shows a turn. Text is added as it comes and drawn with the next frame; all else is drawn at once. */
export class TurnView {
  /** `onRetry` is called when the user wants the question asked again, `onPaint` after each drawing. */
  constructor(turn, { onRetry, onPaint }) {
    this.turn = turn;
    this.node = template.content.firstElementChild.cloneNode(true);
    this.parts = Object.fromEntries(PARTS.map((name) => [name, this.node.querySelector(`.${name}`)]));
    this.parts.question.textContent = turn.question;
    this.parts.retry.addEventListener("click", onRetry);
    this.markdown = new MarkdownView(this.parts.prose);
    this.thought = this.parts.thought.appendChild(document.createTextNode(""));
    this.waiting = ""; // thinking that is not drawn yet
    this.onPaint = onPaint;
    this.painter = new Painter(() => this.paint());
    this.addThinking(turn.thinking);
    this.addText(turn.text);
    this.update();
  }

  addText(text) {
    this.markdown.append(text);
    this.painter.request();
  }

  addThinking(text) {
    this.waiting += text;
    this.painter.request();
  }

  /** Show what the turn's state is, and all that has come. */
  update() {
    const { state, text } = this.turn;
    const notice = noticeOf(this.turn);
    this.node.dataset.state = state;
    this.parts.answer.setAttribute("aria-busy", String(state === "running"));
    this.parts["notice-text"].textContent = notice;
    this.parts.notice.hidden = notice === "";
    this.parts.retry.hidden = state !== "failed" && state !== "stopped";
    this.parts["copy-answer"].hidden = state === "running" || text === "";
    this.painter.now();
  }

  /** Say that the connection is cut, or is not any more. */
  showConnection(connected) {
    this.node.classList.toggle("cut", !connected);
    this.parts.connection.hidden = connected;
  }

  paint() {
    this.markdown.render({ open: this.turn.state === "running" });
    this.paintThinking();
    this.parts.meter.textContent = measured(this.turn);
    this.node.classList.toggle("empty", this.turn.text === "" && this.turn.thinking === "");
    this.onPaint();
  }

  paintThinking() {
    const { thinking, text, state, first, firstText, ended } = this.turn;
    if (this.waiting !== "") this.thought.appendData(this.waiting);
    this.waiting = "";
    this.parts.thinking.hidden = thinking === "";
    const thinks = text === "" && state === "running";
    const took = (firstText ?? ended ?? Date.now()) - first;
    const thought = took < BRIEF ? "Thought for a moment" : `Thought for ${duration(took)}`;
    this.parts.summary.textContent = thinks ? "Thinking…" : thought;
  }
}
