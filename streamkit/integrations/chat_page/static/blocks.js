// Lines of Markdown to blocks: CommonMark and GitHub's tables and task lists, without HTML and without link references.
//
// A block is a plain object: {type, line, ...}, `line` being the number of its first line. What is a block is decided by
// it and the lines before it alone, so all but the last block of a text that still grows are settled.

const DEEPEST = 16; // quotes and lists in one another; deeper ones are text, as a browser's stack has an end

const FENCE = /^( {0,3})(`{3,}|~{3,})[ \t]*(.*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]|$)/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-+*]|(\d{1,9})([.)]))( +|$)/;
const UNDERLINE = /^ {0,3}(?:=+|-+)[ \t]*$/;
const DELIMITERS = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const TASK = /^\[([ xX])\][ \t]+(?=\S)/;

/** Give the blocks of these lines. */
export function parseBlocks(lines, depth = 0) {
  const text = lines.map(withoutTabs);
  const blocks = [];
  let at = 0;
  let apart = false;
  while (at < text.length) {
    if (isBlank(text[at])) {
      apart = true;
      at += 1;
      continue;
    }
    const [block, next] = blockAt(text, at, depth);
    blocks.push({ ...block, line: at, apart });
    at = next;
    apart = false;
  }
  return blocks;
}

/** Give the block that begins at a line, and the line after it. */
function blockAt(lines, at, depth) {
  const line = lines[at];
  if (/^ {4}/.test(line)) return indentedCode(lines, at);
  if (opensFence(line)) return fencedCode(lines, at);
  if (HEADING.test(line)) return [heading(line), at + 1];
  if (RULE.test(line)) return [{ type: "rule" }, at + 1];
  if (depth < DEEPEST && QUOTE.test(line)) return quote(lines, at, depth);
  if (depth < DEEPEST && ITEM.test(line)) return list(lines, at, depth);
  if (beginsTable(lines, at)) return table(lines, at);
  return paragraph(lines, at);
}

// -- leaves

function indentedCode(lines, at) {
  let end = at;
  for (let i = at; i < lines.length && (isBlank(lines[i]) || /^ {4}/.test(lines[i])); i += 1) {
    if (!isBlank(lines[i])) end = i + 1;
  }
  return [{ type: "code", info: "", text: joined(lines.slice(at, end).map((line) => line.slice(4))) }, end];
}

function opensFence(line) {
  const found = FENCE.exec(line);
  return found !== null && !(found[2][0] === "`" && found[3].includes("`"));
}

function fencedCode(lines, at) {
  const [, indent, fence, info] = FENCE.exec(lines[at]);
  let end = at + 1;
  while (end < lines.length && !closesFence(lines[end], fence)) end += 1;
  const inside = lines.slice(at + 1, end).map((line) => withoutIndent(line, indent.length));
  return [{ type: "code", info: info.trim(), text: joined(inside) }, Math.min(end + 1, lines.length)];
}

function closesFence(line, fence) {
  const bare = line.trim();
  return indentOf(line) < 4 && bare.length >= fence.length && bare === fence[0].repeat(bare.length);
}

function heading(line) {
  const level = HEADING.exec(line)[1].length;
  const text = line.trim().slice(level).trim();
  let end = text.length;
  while (text[end - 1] === "#") end -= 1;
  const closed = end === 0 || isBlank(text[end - 1]);
  return { type: "heading", level, text: closed ? text.slice(0, end).trim() : text };
}

function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !isBlank(lines[end])) {
    if (UNDERLINE.test(lines[end])) {
      const level = lines[end].trim()[0] === "=" ? 1 : 2;
      return [{ type: "heading", level, text: proseOf(lines.slice(at, end)) }, end + 1];
    }
    if (interrupts(lines[end]) || beginsTable(lines, end)) break;
    end += 1;
  }
  return [{ type: "paragraph", text: proseOf(lines.slice(at, end)) }, end];
}

/** Whether a line begins a block in the middle of a paragraph. */
function interrupts(line) {
  if (opensFence(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line)) return true;
  const item = ITEM.exec(line);
  // A number in front of a wrapped line is mostly a part of its sentence.
  return item !== null && line.length > item[0].length && (item[3] === undefined || Number(item[3]) === 1);
}

function proseOf(lines) {
  return lines.map((line) => line.trimStart()).join("\n").trimEnd();
}

// -- containers

function quote(lines, at, depth) {
  const inside = [];
  const within = new Follower();
  let end = at;
  for (; end < lines.length; end += 1) {
    const quoted = QUOTE.test(lines[end]);
    if (!quoted && !within.goesOnWith(lines[end])) break;
    inside.push(quoted ? lines[end].replace(QUOTE, "") : lines[end].trimStart());
    within.note(inside.at(-1));
  }
  return [{ type: "quote", blocks: parseBlocks(inside, depth + 1) }, end];
}

function list(lines, at, depth) {
  const [, , marker, number] = ITEM.exec(lines[at]);
  const items = [];
  let loose = false;
  let end = at;
  while (end < lines.length && belongsTo(lines[end], marker)) {
    const [item, next] = listItem(lines, end, depth);
    items.push(item);
    loose ||= item.blocks.some((block, i) => i > 0 && block.apart);
    const after = afterBlanks(lines, next);
    const goesOn = after < lines.length && belongsTo(lines[after], marker);
    loose ||= goesOn && after > next;
    end = goesOn ? after : next;
    if (!goesOn) break;
  }
  const start = number === undefined ? null : Number(number);
  return [{ type: "list", start, loose, items }, end];
}

/** Whether a line is an item of the list that began with this marker. */
function belongsTo(line, marker) {
  const found = ITEM.exec(line);
  return found !== null && found[2].at(-1) === marker.at(-1) && !RULE.test(line);
}

function listItem(lines, at, depth) {
  const [whole, indent, marker, , , gap] = ITEM.exec(lines[at]);
  const bare = lines[at].length === whole.length;
  const width = indent.length + marker.length + (bare || gap.length > 4 ? 1 : gap.length);
  const inside = [lines[at].slice(width)];
  const within = new Follower();
  within.note(inside[0]);
  let end = at + 1;
  let blanks = 0;
  for (let i = end; i < lines.length; i += 1) {
    if (isBlank(lines[i])) {
      blanks += 1;
      if (bare && inside.length === 1) break; // an item may begin with one blank line, not two
      continue;
    }
    const indented = indentOf(lines[i]) >= width;
    if (!indented && (blanks > 0 || !within.goesOnWith(lines[i]))) break;
    for (; blanks > 0; blanks -= 1) inside.push("");
    inside.push(indented ? lines[i].slice(width) : lines[i].trimStart());
    within.note(inside.at(-1));
    end = i + 1;
  }
  const task = TASK.exec(inside[0]);
  if (task) inside[0] = inside[0].slice(task[0].length);
  const blocks = parseBlocks(inside, depth + 1);
  return [{ task: task ? task[1] !== " " : null, blocks }, end];
}

/** Follows the lines inside a container, to tell whether a paragraph goes on in a line that lacks its marker. */
class Follower {
  #fence = null;
  #prose = false;

  note(line) {
    const bare = line.replace(/^(?: |>|[-+*] |\d{1,9}[.)] )+/, "");
    if (this.#fence !== null) {
      if (closesFence(bare, this.#fence)) this.#fence = null;
      this.#prose = false;
    } else if (opensFence(bare)) {
      this.#fence = FENCE.exec(bare)[2];
      this.#prose = false;
    } else {
      this.#prose = !isBlank(bare) && !HEADING.test(bare) && !RULE.test(bare);
    }
  }

  goesOnWith(line) {
    return this.#prose && !isBlank(line) && !interrupts(line) && !ITEM.test(line) && !UNDERLINE.test(line);
  }
}

// -- tables

function beginsTable(lines, at) {
  const [head, rule] = [lines[at], lines[at + 1]];
  if (rule === undefined || !head.includes("|") || !DELIMITERS.test(rule)) return false;
  return cellsOf(head).length === cellsOf(rule).length;
}

function table(lines, at) {
  const head = cellsOf(lines[at]);
  const align = cellsOf(lines[at + 1]).map(alignment);
  const rows = [];
  let end = at + 2;
  for (; end < lines.length && !isBlank(lines[end]) && !interrupts(lines[end]); end += 1) {
    const cells = cellsOf(lines[end]);
    rows.push(head.map((_, column) => cells[column] ?? ""));
  }
  return [{ type: "table", head, align, rows }, end];
}

function alignment(cell) {
  if (cell.endsWith(":")) return cell.startsWith(":") ? "center" : "end";
  return cell.startsWith(":") ? "start" : "";
}

/** Give the cells of a row. A bar after a backslash is text, also within code. */
function cellsOf(line) {
  const row = line.trim().replace(/^\|/, "");
  const cells = [""];
  for (let i = 0; i < row.length; i += 1) {
    if (row[i] === "\\" && row[i + 1] === "|") cells[cells.length - 1] += row[(i += 1)];
    else if (row[i] === "\\" && i + 1 < row.length) cells[cells.length - 1] += row[i] + row[(i += 1)];
    else if (row[i] === "|") cells.push("");
    else cells[cells.length - 1] += row[i];
  }
  if (cells.length > 1 && isBlank(cells.at(-1))) cells.pop();
  return cells.map((cell) => cell.trim());
}

// -- lines

function isBlank(line) {
  return /^[ \t]*$/.test(line);
}

function indentOf(line) {
  return line.length - line.trimStart().length;
}

function withoutIndent(line, most) {
  return line.slice(Math.min(most, line.length - line.replace(/^ +/, "").length));
}

/** Give the line with the tabs that it begins with as spaces. */
function withoutTabs(line) {
  if (!line.includes("\t")) return line;
  const [blank] = /^[ \t]*/.exec(line);
  let indent = "";
  for (const character of blank) indent += character === "\t" ? " ".repeat(4 - (indent.length % 4)) : " ";
  return indent + line.slice(blank.length);
}

function afterBlanks(lines, at) {
  while (at < lines.length && isBlank(lines[at])) at += 1;
  return at;
}

function joined(lines) {
  return lines.map((line) => `${line}\n`).join("");
}
