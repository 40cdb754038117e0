// A Markdown text that grows, as DOM nodes that grow with it. Nodes are made and filled with text; HTML is never parsed.
//
// Of the text only what follows the last settled block is read again, so the work is linear in the text, and nodes that
// stay as they are stay the same: a selection, a focused button and a scrolled code block survive the next token.

import { parseBlocks } from "./blocks.js";
import { parseInline } from "./inline.js";

const LETTER = /\p{L}/u;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** A line of nothing but markers: what it begins shows with its next character. */
const MARKERS = /^[-=*_#+|:~`>[\]\d.) \t]*$/;

/** Shows a growing text in an element, which is its own. */
export class MarkdownView {
  #root;
  #settled = 0; // child nodes that will not change
  #lines = []; // whole lines after the settled blocks
  #partial = ""; // what has come of the line after these
  #seen = 0; // of the lines, how many were asked for settled blocks

  constructor(root) {
    this.#root = root;
  }

  /** Add text; `render` shows it. */
  append(text) {
    const lines = text.split("\n");
    lines[0] = this.#partial + lines[0];
    this.#partial = lines.pop();
    for (const line of lines) this.#lines.push(cleaned(line));
  }

  /** Show what has come; `open` says that more may come, in the middle of a word or of a marker. */
  render({ open = true } = {}) {
    const settled = this.#settle();
    const rest = this.#partial === "" || (open && MARKERS.test(this.#partial)) ? [] : [cleaned(this.#partial)];
    const blocks = parseBlocks([...this.#lines, ...rest]);
    if (open && blocks.length > 0) blocks.push(...withoutTableToBe(blocks.pop()));
    const nodes = blocks.map((block, i) => outermostNode(block, open && i === blocks.length - 1));
    patchChildren(this.#root, this.#settled, [...settled, ...nodes]);
    this.#settled += settled.length;
  }

  /** Take the nodes of the blocks that no further line can change. */
  #settle() {
    if (this.#seen === this.#lines.length) return [];
    const blocks = parseBlocks(this.#lines);
    const last = blocks.at(-1);
    this.#lines.splice(0, last === undefined ? this.#lines.length : last.line);
    this.#seen = this.#lines.length;
    return blocks.slice(0, -1).map((block) => outermostNode(block, false));
  }
}

/** Leave out a last line that begins as a table's head does: whether it is one, the next line tells. */
function withoutTableToBe(block) {
  if (block.type !== "paragraph") return [block];
  const end = block.text.lastIndexOf("\n");
  if (block.text[end + 1] !== "|") return [block];
  return end < 0 ? [] : [{ ...block, text: block.text.slice(0, end) }];
}

function cleaned(line) {
  const bare = line.endsWith("\r") ? line.slice(0, -1) : line;
  return bare.includes("\0") ? bare.replaceAll("\0", "\ufffd") : bare;
}

// -- blocks to nodes

/** A block has the direction of its text; what is in a list, a quote or a table has that of the whole. */
function outermostNode(block, open) {
  const node = blockNode(block, open);
  if (!node.hasAttribute("dir")) node.dir = directionOf(node); // "auto" costs Chromium seconds in a long block that grows
  return node;
}

/** Give the direction of the first letter, as `dir="auto"` does. */
function directionOf(node) {
  const wanted = ({ dir }) => (dir ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT); // code has its own
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, wanted);
  while (walker.nextNode() !== null) {
    const letter = walker.currentNode.nodeType === Node.TEXT_NODE && LETTER.exec(walker.currentNode.data);
    if (letter) return RIGHT_TO_LEFT.test(letter[0]) ? "rtl" : "ltr";
  }
  return "ltr";
}

function blockNode(block, open) {
  switch (block.type) {
    case "heading":
      return headingNode(block, open);
    case "code":
      return codeNode(block);
    case "rule":
      return element("hr");
    case "quote":
      return element("blockquote", {}, blockNodes(block.blocks, open));
    case "list":
      return listNode(block, open);
    case "table":
      return tableNode(block, open);
    default:
      return element("p", {}, proseNodes(block.text, { open }));
  }
}

function blockNodes(blocks, open) {
  return blocks.map((block, i) => blockNode(block, open && i === blocks.length - 1));
}

function headingNode({ level, text }, open) {
  // The page has the first two levels.
  return element(`h${Math.min(6, level + 2)}`, { class: `level-${level}` }, proseNodes(text, { open }));
}

function codeNode({ info, text }) {
  const language = info.split(/\s/, 1)[0];
  const copy = element("button", { type: "button", class: "copy", "aria-label": "Copy code" }, ["Copy"]);
  return element("figure", { class: "code", dir: "ltr" }, [
    element("figcaption", {}, [element("span", {}, [language || "text"]), copy]),
    element("pre", { tabindex: "0" }, [element("code", {}, [text])]),
  ]);
}

function listNode({ start, loose, items }, open) {
  const nodes = items.map((item, i) => itemNode(item, loose, open && i === items.length - 1));
  if (start === null) return element("ul", {}, nodes);
  return element("ol", start === 1 ? {} : { start: String(start) }, nodes);
}

function itemNode({ task, blocks }, loose, open) {
  const nodes = blocks.flatMap((block, i) => {
    const last = open && i === blocks.length - 1;
    const bare = block.type === "paragraph" && !loose;
    return bare ? proseNodes(block.text, { open: last }) : [blockNode(block, last)];
  });
  if (task === null) return element("li", {}, nodes);
  const box = { class: "box", role: "img", "aria-label": task ? "done" : "to do" };
  return element("li", { class: "task" }, [element("span", box, [task ? "☑" : "☐"]), " ", ...nodes]);
}

function tableNode({ head, align, rows }, open) {
  const row = (tag, cells, isOpen) =>
    element("tr", {}, cells.map((cell, i) => cellNode(tag, cell, align[i], isOpen)));
  const body = rows.map((cells, i) => row("td", cells, open && i === rows.length - 1));
  const table = element("table", {}, [element("thead", {}, [row("th", head, false)]), element("tbody", {}, body)]);
  const attributes = { class: "table", tabindex: "0", role: "region", "aria-label": "Table" };
  return element("div", attributes, [table]);
}

function cellNode(tag, text, align, open) {
  const attributes = { ...(tag === "th" && { scope: "col" }), ...(align && { class: align }) };
  return element(tag, attributes, proseNodes(text, { open, breaks: true }));
}

// -- prose to nodes

function proseNodes(text, how) {
  return parseInline(text, how).map(proseNode);
}

function proseNode(part) {
  if (typeof part === "string") return document.createTextNode(part);
  if (part.type === "code") return element("code", { dir: "ltr" }, [part.text]);
  if (part.type === "br") return element("br");
  if (part.type === "link") return linkNode(part);
  return element(part.type, {}, part.children.map(proseNode));
}

function linkNode({ href, image, children }) {
  const attributes = { href, target: "_blank", rel: "noopener noreferrer nofollow", ...(image && { class: "image" }) };
  return element("a", attributes, children.map(proseNode));
}

function element(tag, attributes = {}, children = []) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// -- changing as little as possible

/** Make the child nodes of `parent`, from number `from` on, like these. */
function patchChildren(parent, from, wanted) {
  let child = parent.childNodes[from] ?? null;
  for (const node of wanted) {
    if (child === null) {
      parent.append(node);
      continue;
    }
    const next = child.nextSibling;
    if (!patched(child, node)) child.replaceWith(node);
    child = next;
  }
  while (child !== null) {
    const next = child.nextSibling;
    child.remove();
    child = next;
  }
}

/** Make a node like another, if they are of one kind. */
function patched(node, wanted) {
  if (node.nodeName !== wanted.nodeName) return false;
  if (node.nodeType === Node.TEXT_NODE) {
    patchText(node, wanted.data);
    return true;
  }
  if (!haveSameAttributes(node, wanted)) return false;
  patchChildren(node, 0, [...wanted.childNodes]);
  return true;
}

function haveSameAttributes(node, other) {
  const attributes = [...other.attributes];
  return (
    node.attributes.length === attributes.length &&
    attributes.every(({ name, value }) => node.getAttribute(name) === value)
  );
}

function patchText(node, text) {
  if (node.data === text) return;
  if (text.startsWith(node.data)) node.appendData(text.slice(node.data.length)); // a selection in it stays
  else node.data = text;
}
