// A line of Markdown's prose to what is in it: text, emphasis, code, links, line breaks. HTML is text.
//
// Given are strings and plain objects: {type: "code", text}, {type: "em" | "strong" | "del", children}, {type: "br"},
// {type: "link", href, image, children}. An image is a link to it: to load it would tell its server what the model
// wrote into the address. The time is linear in the text, whatever it is.

import { safeHref } from "./href.js";

const DEEPEST = 24; // emphasis, and brackets, in one another; deeper ones are text, as a browser's stack has an end
const LONGEST_RUN = 8; // markers in a row that can be emphasis
const LONGEST_TARGET = 2000; // characters of a link's target; each bracket may look so far ahead

const PLAIN = /(?:[^\\`*_~[\]!<&\nhw]|h(?!ttps?:\/\/)|w(?!ww\.))+/y;
const BARE = /(?:https?:\/\/|www\.)[^\s<`]+/y;
const ANGLE = /<(?:([a-z][a-z0-9+.-]{1,31}:[^\s<>]*)|([\w.!#$%&'*+/=?^`{|}~-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+))>/iy;
const BREAK = /<br *\/?>/iy;
const ENTITY = /&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]{2,8}\d{0,2}));/iy;
const ESCAPED = /[!-/:-@[-`{-~]/;
const SPACE = /^\s?$/u;
const PUNCTUATION = /[\p{P}\p{S}]/u;

const ENTITIES = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©", reg: "®", trade: "™", hellip: "…",
  ndash: "–", mdash: "—", lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”", laquo: "«", raquo: "»", bull: "•",
  middot: "·", times: "×", divide: "÷", plusmn: "±", deg: "°", euro: "€", pound: "£", yen: "¥", cent: "¢", sect: "§",
  para: "¶", larr: "←", rarr: "→", uarr: "↑", darr: "↓", le: "≤", ge: "≥", ne: "≠", infin: "∞", pi: "π", micro: "µ",
};

/**
 * Give what is in a text. `open` says that more of it may come: what is not closed yet is shown as if it were. `breaks`
 * reads `<br>` as a line break, for table cells, which have no other.
 */
export function parseInline(text, { open = false, breaks = false } = {}) {
  const tokens = new Tokens(text, open, breaks).read();
  return emphasized(tokens, 0, tokens.length, open);
}

// -- tokens: {type: "text" | "code" | "br" | "link" | "run" | "open" | "end"}; an "open" with `href` has its "end" at `to`

class Tokens {
  constructor(text, open, breaks) {
    this.text = text;
    this.open = open;
    this.breaks = breaks;
    this.at = 0;
    this.tokens = [];
    this.brackets = []; // numbers of "open" tokens that may become links
    this.unclosed = new Set(); // lengths of backtick runs that nothing closes any more
  }

  read() {
    while (this.at < this.text.length) this.next();
    return this.tokens;
  }

  next() {
    switch (this.text[this.at]) {
      case "\\":
        return this.escape();
      case "`":
        return this.code();
      case "*":
      case "_":
      case "~":
        return this.run();
      case "[":
        return this.bracket(1);
      case "!":
        return this.text[this.at + 1] === "[" ? this.bracket(2) : this.say(1);
      case "]":
        return this.closeBracket();
      case "<":
        return this.angle();
      case "&":
        return this.entity();
      case "\n":
        return this.lineEnd();
      default:
        return this.match(PLAIN) ? this.say(this.found[0].length) : this.bare();
    }
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    this.found = pattern.exec(this.text);
    return this.found !== null;
  }

  /** Take the next characters as text, or as the text that stands for them. */
  say(length, text = this.text.slice(this.at, this.at + length)) {
    this.take(length, { type: "text", text });
  }

  take(length, token) {
    this.tokens.push(token);
    this.at += length;
  }

  escape() {
    const next = this.text[this.at + 1];
    if (next === "\n") this.take(2, { type: "br" });
    else if (next !== undefined && ESCAPED.test(next)) this.say(2, next);
    else this.say(1);
  }

  code() {
    const length = runLength(this.text, this.at);
    const begin = this.at + length;
    const end = this.unclosed.has(length) ? -1 : closingTicks(this.text, begin, length);
    if (end >= 0) return this.take(end + length - this.at, { type: "code", text: codeText(this.text.slice(begin, end)) });
    this.unclosed.add(length);
    if (!this.open) return this.say(length);
    return this.take(this.text.length - this.at, { type: "code", text: codeText(this.text.slice(begin)) });
  }

  run() {
    const marker = this.text[this.at];
    const length = runLength(this.text, this.at);
    if (length > LONGEST_RUN || (marker === "~" && length !== 2)) return this.say(length);
    const before = characterBefore(this.text, this.at);
    const end = this.open && SPACE.test(before) ? "a" : " "; // a marker that has just come is about to open
    const after = characterAt(this.text, this.at + length) ?? end;
    const [left, right] = flanks(before, after);
    const word = marker === "_";
    const opens = left && (!word || !right || PUNCTUATION.test(before));
    const closes = right && (!word || !left || PUNCTUATION.test(after));
    return this.take(length, { type: "run", marker, length, opens, closes });
  }

  bracket(length) {
    if (this.brackets.length >= DEEPEST) return this.say(length);
    this.brackets.push(this.tokens.length);
    return this.take(length, { type: "open", text: this.text.slice(this.at, this.at + length) });
  }

  closeBracket() {
    const opener = this.brackets.pop();
    const target = opener !== undefined && this.text[this.at + 1] === "(" ? readTarget(this.text, this.at + 2) : null;
    if (target === null || (target.end === undefined && !this.open)) return this.say(1);
    if (target.end === undefined) return this.pending(opener);
    const href = safeHref(unescaped(target.href));
    if (href === null) return this.say(1);
    Object.assign(this.tokens[opener], { href, to: this.tokens.length });
    if (this.tokens[opener].text === "[") this.brackets = []; // no links in links
    return this.take(target.end - this.at, { type: "end" });
  }

  /** The text ends in the middle of a link's target: show what is linked. */
  pending(opener) {
    this.tokens[opener].text = "";
    this.at = this.text.length;
  }

  angle() {
    if (this.breaks && this.match(BREAK)) return this.take(this.found[0].length, { type: "br" });
    if (!this.match(ANGLE)) return this.say(1);
    const [whole, url, mail] = this.found;
    return this.link(whole.length, url ?? mail, url ?? `mailto:${mail}`);
  }

  bare() {
    if (/[\p{L}\p{N}_]/u.test(characterBefore(this.text, this.at)) || !this.match(BARE)) return this.say(1);
    const url = withoutTail(this.found[0]);
    return this.link(url.length, url, url.startsWith("www.") ? `https://${url}` : url);
  }

  link(length, text, target) {
    const href = safeHref(target);
    if (href === null) return this.say(length);
    return this.take(length, { type: "link", href, text });
  }

  entity() {
    if (!this.match(ENTITY)) return this.say(1);
    return this.say(this.found[0].length, entityText(this.found));
  }

  lineEnd() {
    const last = this.tokens.at(-1);
    const hard = last?.type === "text" && last.text.endsWith("  ");
    if (last?.type === "text") last.text = last.text.trimEnd();
    return hard ? this.take(1, { type: "br" }) : this.say(1);
  }
}

// -- emphasis

/** Give what tokens [from, to) are, emphasis resolved: an opener is a frame that its closer, or the end, takes down. */
function emphasized(tokens, from, to, open, linked = false) {
  const frames = [{ children: [] }];
  for (let at = from; at < to; at += 1) {
    const token = tokens[at];
    const { children } = frames.at(-1);
    if (token.type === "text" || token.type === "end") addText(children, token.text ?? "");
    else if (token.type === "run") takeRun(frames, token);
    else if (token.type === "link" && linked) addText(children, token.text);
    else if (token.type === "link") children.push({ type: "link", href: token.href, children: [token.text] });
    else if (token.type === "open" && token.href === undefined) addText(children, token.text);
    else if (token.type === "open") {
      addLink(children, token, emphasized(tokens, at + 1, token.to, open, true), linked);
      at = token.to;
    } else children.push(token);
  }
  while (frames.length > 1) {
    if (open) closeAsIf(frames);
    else giveUp(frames);
  }
  return frames[0].children;
}

function takeRun(frames, { marker, length, opens, closes }) {
  let left = length;
  while (closes && left > 0) {
    const opener = openerFor(frames, marker, left, length, opens);
    if (opener < 0) break;
    while (frames.length - 1 > opener) giveUp(frames);
    const frame = frames[opener];
    const used = marker === "~" || (frame.left >= 2 && left >= 2) ? 2 : 1;
    const made = { type: kindOf(marker, used), children: frame.children };
    frame.left -= used;
    left -= used;
    if (frame.left > 0) frame.children = [made];
    else {
      frames.pop();
      frames.at(-1).children.push(made);
    }
  }
  if (left === 0) return;
  if (opens && frames.length <= DEEPEST) frames.push({ marker, left, length, closes, children: [] });
  else addText(frames.at(-1).children, marker.repeat(left));
}

function openerFor(frames, marker, left, length, opens) {
  for (let i = frames.length - 1; i > 0; i -= 1) {
    const frame = frames[i];
    if (frame.marker !== marker) continue;
    // "The rule of three" of CommonMark, for runs that could both open and close.
    const odd = (opens || frame.closes) && (frame.length + length) % 3 === 0 && (frame.length % 3 || length % 3);
    if (marker === "~" || !odd) return i;
  }
  return -1;
}

function kindOf(marker, used) {
  if (marker === "~") return "del";
  return used === 2 ? "strong" : "em";
}

/** The opener was none: its markers are text. */
function giveUp(frames) {
  const frame = frames.pop();
  const { children } = frames.at(-1);
  addText(children, frame.marker.repeat(frame.left));
  addAll(children, frame.children);
}

/** What closes it may be still to come. */
function closeAsIf(frames) {
  const { marker, left, children } = frames.pop();
  if (children.length === 0) return;
  let made = { type: kindOf(marker, left >= 2 ? 2 : 1), children };
  if (left > 2) made = { type: "em", children: [made] };
  frames.at(-1).children.push(made);
}

function addLink(children, { href, text }, inside, linked) {
  const label = inside.length ? inside : [href];
  if (linked) addAll(children, label); // an image in a link
  else children.push({ type: "link", href, image: text === "![", children: label });
}

function addAll(children, others) {
  for (const other of others) typeof other === "string" ? addText(children, other) : children.push(other);
}

function addText(children, text) {
  if (text === "") return;
  if (typeof children.at(-1) === "string") children[children.length - 1] += text;
  else children.push(text);
}

/** Whether a run of markers stands at the left of what follows, and at the right of what is before. */
function flanks(before, after) {
  const left = !SPACE.test(after) && (!PUNCTUATION.test(after) || SPACE.test(before) || PUNCTUATION.test(before));
  const right = !SPACE.test(before) && (!PUNCTUATION.test(before) || SPACE.test(after) || PUNCTUATION.test(after));
  return [left, right];
}

function characterAt(text, at) {
  return at < text.length ? String.fromCodePoint(text.codePointAt(at)) : undefined;
}

function characterBefore(text, at) {
  if (at === 0) return " ";
  const low = at > 1 && /[\udc00-\udfff]/.test(text[at - 1]);
  return low ? text.slice(at - 2, at) : text[at - 1];
}

// -- code, links, entities

function runLength(text, at) {
  let end = at;
  while (text[end] === text[at]) end += 1;
  return end - at;
}

function closingTicks(text, from, length) {
  for (let at = text.indexOf("`", from); at >= 0; ) {
    const found = runLength(text, at);
    if (found === length) return at;
    at = text.indexOf("`", at + found);
  }
  return -1;
}

function codeText(text) {
  const line = text.replaceAll("\n", " ");
  return line.startsWith(" ") && line.endsWith(" ") && line.trim() !== "" ? line.slice(1, -1) : line;
}

/** Read `target "title")`: {href, end}; without `end` where the text ends in the middle; null where it is none. */
function readTarget(text, from) {
  const part = text.slice(from, from + LONGEST_TARGET);
  const cut = part.length < LONGEST_TARGET ? {} : null; // what is too long is no target, whatever comes
  const found = /^\s*(?:<([^<>\n\\]*(?:\\.[^<>\n\\]*)*)>|([^\s<][^\s]*|))/.exec(part);
  if (found === null) return cut !== null && /^\s*<[^>\n]*$/.test(part) ? cut : null;
  const href = found[1] ?? balanced(found[2]);
  const rest = part.slice(found[0].length - (found[2] ?? "").length + (found[1] === undefined ? href.length : 0));
  const end = /^\s*(?:\s(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\((?:[^()\\]|\\.)*\))\s*)?\)/s.exec(rest);
  if (end !== null) return { href, end: from + part.length - rest.length + end[0].length };
  return cut !== null && /^\s*(?:\s["'(][^]*)?$/.test(rest) ? cut : null;
}

/** Give a text up to the first parenthesis that closes what it has not opened. */
function balanced(text) {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "(") depth += 1;
    else if (text[at] === ")" && (depth -= 1) < 0) return text.slice(0, at);
  }
  return text;
}

/** Give a bare address without the punctuation that ends the sentence, and the parenthesis that is around it. */
function withoutTail(url) {
  let end = url.length;
  let surplus = url.split(")").length - url.split("(").length;
  for (; end > 0; end -= 1) {
    const last = url[end - 1];
    if (last === ")" && surplus > 0) surplus -= 1;
    else if (!/[?!.,:;*_~'"\]]/.test(last)) break;
  }
  return url.slice(0, end);
}

function unescaped(text) {
  const entity = new RegExp(ENTITY.source, "gi");
  return text
    .replace(/\\([!-/:-@[-`{-~])/g, "$1")
    .replace(entity, (...found) => entityText(found));
}

function entityText([whole, decimal, hexadecimal, name]) {
  if (name !== undefined) return Object.hasOwn(ENTITIES, name) ? ENTITIES[name] : whole;
  const code = decimal === undefined ? parseInt(hexadecimal, 16) : Number(decimal);
  const valid = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
  return valid ? String.fromCodePoint(code) : "\ufffd";
}
