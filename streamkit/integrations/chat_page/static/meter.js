// How many tokens, and how fast.

const encoder = new TextEncoder();

/** Guess the tokens of a text: four bytes of UTF-8 each, which is about right for most languages and models. */
export function guessTokens(text) {
  return encoder.encode(text).length / 4;
}

/** Say how a turn does, or did: tokens, tokens a second, time to the first; "≈" marks a guess. */
export function measured(turn, now = Date.now()) {
  if (turn.first === null) return "";
  const about = turn.counted ? "" : "≈ ";
  const tokens = Math.round(turn.tokens);
  const parts = [`${about}${tokens.toLocaleString("en")} ${tokens === 1 ? "token" : "tokens"}`];
  const seconds = ((turn.ended ?? now) - turn.first) / 1000;
  if (seconds >= 0.1) parts.push(`${pace(turn.tokens / seconds)} tokens/s`);
  parts.push(`first after ${duration(turn.first - turn.asked)}`);
  return parts.join(" · ");
}

/** Say a time that is given in milliseconds. */
export function duration(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 10) return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

function pace(rate) {
  return rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en");
}
