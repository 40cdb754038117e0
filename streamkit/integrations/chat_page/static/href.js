// Where a link of a model's text may lead.

const SCHEMES = new Set(["http:", "https:", "mailto:"]);

/** Give the address as the browser reads it, or null for one that is not followed: no http, https or mailto. */
export function safeHref(text) {
  let url;
  try {
    url = new URL(text); // without a base: what is relative would lead into this page's own server
  } catch {
    return null;
  }
  if (!SCHEMES.has(url.protocol)) return null;
  if (url.username !== "" || url.password !== "") return null; // https://bank.example@evil.example
  return url.href;
}
