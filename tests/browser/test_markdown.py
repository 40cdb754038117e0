"""The page's Markdown: what becomes of it, also while it is not whole, however it is cut, and how long it takes."""

from __future__ import annotations

import random

import pytest

from tests.browser.chat import Chat
from tests.browser.rendering import rendered

pytestmark = pytest.mark.browser

HR = '<hr dir="ltr">'
TO = 'target="_blank" rel="noopener noreferrer nofollow"'


def p(text: str) -> str:
    """A paragraph."""
    return f'<p dir="ltr">{text}</p>'


def pi(text: str) -> str:
    """A paragraph within a list or a quote, which has its direction."""
    return f"<p>{text}</p>"


def a(href: str, text: str, kind: str = "") -> str:
    """A link."""
    return f'<a href="{href}" {TO}{kind}>{text}</a>'


def c(text: str) -> str:
    """Code in a line."""
    return f'<code dir="ltr">{text}</code>'


def code(text: str, language: str = "text") -> str:
    """A block of code."""
    return (
        f'<figure class="code" dir="ltr"><figcaption><span>{language}</span>'
        '<button type="button" class="copy" aria-label="Copy code">Copy</button></figcaption>'
        f'<pre tabindex="0"><code>{text}</code></pre></figure>'
    )


def li(text: str) -> str:
    """An item of a list."""
    return f"<li>{text}</li>"


def ul(*items: str, inner: bool = False) -> str:
    """A list."""
    return _list("ul", items, "", inner)


def ol(*items: str, start: int = 1, inner: bool = False) -> str:
    """A numbered list."""
    return _list("ol", items, f' start="{start}"' if start != 1 else "", inner)


def _list(tag: str, items: tuple[str, ...], start: str, inner: bool) -> str:
    direction = "" if inner else ' dir="ltr"'
    return f"<{tag}{start}{direction}>{''.join(items)}</{tag}>"


def task(done: bool, text: str) -> str:
    """An item to be done."""
    label, sign = ("done", "☑") if done else ("to do", "☐")
    return f'<li class="task"><span class="box" role="img" aria-label="{label}">{sign}</span> {text}</li>'


def h(level: int, text: str) -> str:
    """A heading; the page itself has the first two levels."""
    tag = f"h{min(6, level + 2)}"
    return f'<{tag} class="level-{level}" dir="ltr">{text}</{tag}>'


def table(head: list[str], *rows: list[str], align: tuple[str, ...] = ("", "", "")) -> str:
    """A table."""
    kinds = [f' class="{kind}"' if kind else "" for kind in align]
    ths = "".join(f'<th scope="col"{kind}>{cell}</th>' for cell, kind in zip(head, kinds, strict=False))
    trs = ["".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=False)) for row in rows]
    body = "".join(f"<tr>{tr}</tr>" for tr in trs)
    return (
        '<div class="table" tabindex="0" role="region" aria-label="Table" dir="ltr">'
        f"<table><thead><tr>{ths}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def quote(inside: str) -> str:
    """A quote."""
    return f'<blockquote dir="ltr">{inside}</blockquote>'


WHOLE = {
    "paragraphs": [
        ("", ""),
        ("\n\n", ""),
        ("a\nb\n\nc", p("a\nb") + p("c")),
        ("  a\n   b  ", p("a\nb")),
        ("a  \nb", p("a<br>b")),
        ("a\\\nb", p("a<br>b")),
        ("a\r\n\r\nb\r\n", p("a") + p("b")),
        ("a\x00b", p("a\ufffdb")),
        ("שלום\n\n中文 😀", p("שלום").replace("ltr", "rtl") + p("中文 😀")),
        ("`a` 1 *שלום* b", f'<p dir="rtl">{c("a")} 1 <em>שלום</em> b</p>'),
    ],
    "headings": [
        ("# a", h(1, "a")),
        ("###### a ##", h(6, "a")),
        ("####### a", p("####### a")),
        ("#a", p("#a")),
        ("#", h(1, "")),
        ("# a #b#", h(1, "a #b#")),
        ("a\n# *b*\nc", p("a") + h(1, "<em>b</em>") + p("c")),
        ("a\n===\nb\n---", h(1, "a") + h(2, "b")),
    ],
    "emphasis": [
        ("*a* **b** ***c*** ~~d~~", p("<em>a</em> <strong>b</strong> <em><strong>c</strong></em> <del>d</del>")),
        ("_a_ __b__ x_y_z", p("<em>a</em> <strong>b</strong> x_y_z")),
        ("**a *b* c**", p("<strong>a <em>b</em> c</strong>")),
        ("*a **b***", p("<em>a <strong>b</strong></em>")),
        ("2 * 3 * 4", p("2 * 3 * 4")),
        ("*a", p("*a")),
        ("**a*", p("*<em>a</em>")),
        ("*a**b*", p("<em>a**b</em>")),
        ("\\*a\\* \\\\", p("*a* \\")),
        ("~a~", p("~a~")),
        ("*a\nb*", p("<em>a\nb</em>")),
        ("*a\n\nb*", p("*a") + p("b*")),
        ("中**文**字", p("中<strong>文</strong>字")),
    ],
    "code in a line": [
        ("`a`", p(c("a"))),
        ("`` a`b ``", p(c("a`b"))),
        ("`*a*` &amp; `&amp;`", p(f"{c('*a*')} &amp; {c('&amp;amp;')}")),
        ("`a", p("`a")),
        ("*a `b* c`", p(f"*a {c('b* c')}")),
        ("`<b>`", p(c("&lt;b&gt;"))),
        ("`a\nb`", p(c("a b"))),
        ("\\`a`", p("`a`")),
    ],
    "blocks of code": [
        ("```python\na = 1\n\nb\n```\nc", code("a = 1\n\nb\n", "python") + p("c")),
        ("~~~\n```\n~~~", code("```\n")),
        ("````\n```\n````", code("```\n")),
        ("```\na", code("a\n")),
        ("a\n```\nb\n```", p("a") + code("b\n")),
        ("```js x=1\n<b>*\n```", code("&lt;b&gt;*\n", "js")),
        ("    a\n\n      b\nc", code("a\n\n  b\n") + p("c")),
        ("``` `a`", p(f"``` {c('a')}")),
        ("- ```\n  a\n  ```\n- b", ul(li(code("a\n")), li("b"))),
    ],
    "lists": [
        ("- a\n- b", ul(li("a"), li("b"))),
        ("* a\n+ b", ul(li("a")) + ul(li("b"))),
        ("1. a\n2. b", ol(li("a"), li("b"))),
        ("3) a", ol(li("a"), start=3)),
        ("- a\n\n- b", ul(li(pi("a")), li(pi("b")))),
        ("- a\n  - b\n    - c\n- d", ul(li("a" + ul(li("b" + ul(li("c"), inner=True)), inner=True)), li("d"))),
        ("1. a\n   - b\n2. c", ol(li("a" + ul(li("b"), inner=True)), li("c"))),
        ("- a\nb\n\nc", ul(li("a\nb")) + p("c")),
        ("a\n- b", p("a") + ul(li("b"))),
        ("a\n2. b", p("a\n2. b")),
        ("-a", p("-a")),
        ("- [x] a\n- [ ] b", ul(task(True, "a"), task(False, "b"))),
        ("- [x]a", ul(li("[x]a"))),
        ("- a\n\n  b", ul(li(pi("a") + pi("b")))),
        ("\t- a", code("- a\n")),
        ("- a\n\t- b", ul(li("a" + ul(li("b"), inner=True)))),
    ],
    "quotes and rules": [
        ("> a\n> b", quote(pi("a\nb"))),
        ("> a\nb\n\nc", quote(pi("a\nb")) + p("c")),
        ("> > a", quote(f"<blockquote>{pi('a')}</blockquote>")),
        ("> - a\n> - b", quote(ul(li("a"), li("b"), inner=True))),
        ("> ```\n> a\n> ```", quote(code("a\n"))),
        ("> ```\nb", quote(code("")) + p("b")),
        ("---\n***\n_ _ _", HR * 3),
        ("- a\n---\nb", ul(li("a")) + HR + p("b")),
    ],
    "tables": [
        ("| a | b |\n|---|---|\n| 1 | 2 |", table(["a", "b"], ["1", "2"])),
        ("a|b\n:-|-:\n1|2", table(["a", "b"], ["1", "2"], align=("start", "end"))),
        ("|a|\n|:-:|\n|*b*|\n\nc", table(["a"], ["<em>b</em>"], align=("center",)) + p("c")),
        ("|a|b|\n|-|-|\n|1|", table(["a", "b"], ["1", ""])),
        ("|a|b|\n|-|-|\n|1|2|3|", table(["a", "b"], ["1", "2"])),
        ("|a|b|\n|-|\n", p("|a|b|\n|-|")),
        ("|a|\n|-|\n|`x\\|y`|", table(["a"], [c("x|y")])),
        ("|a|\n|-|\n|x<br>y|", table(["a"], ["x<br>y"])),
        ("t\n|a|\n|-|\n|b|", p("t") + table(["a"], ["b"])),
        ("|a|\n|-|\n> q", table(["a"]) + quote(pi("q"))),
    ],
    "links": [
        ("[a](https://b.example)", p(a("https://b.example/", "a"))),
        ('[a](https://b.example "t") c', p(a("https://b.example/", "a") + " c")),
        ("[*a*](<https://b.example/x y>)", p(a("https://b.example/x%20y", "<em>a</em>"))),
        ("[a](https://b.example/(x))", p(a("https://b.example/(x)", "a"))),
        ("[a](mailto:a@b.example)", p(a("mailto:a@b.example", "a"))),
        ("[](https://b.example)", p(a("https://b.example/", "https://b.example/"))),
        ("<https://b.example>", p(a("https://b.example/", "https://b.example"))),
        ("<a@b.example>", p(a("mailto:a@b.example", "a@b.example"))),
        ("see https://b.example/x.", p(f"see {a('https://b.example/x', 'https://b.example/x')}.")),
        ("(https://b.example/(x))", p(f"({a('https://b.example/(x)', 'https://b.example/(x)')})")),
        ("www.b.example", p(a("https://www.b.example/", "www.b.example"))),
        ("xhttps://b.example", p("xhttps://b.example")),
        ("[a](/b) [a](b) [a](#b) [a]()", p("[a](/b) [a](b) [a](#b) [a]()")),
        ("[a] [b][c] [d]: e", p("[a] [b][c] [d]: e")),
        ("[a [b](https://c.example) d](/e)", p(f"[a {a('https://c.example/', 'b')} d](/e)")),
        ("*[a*](https://b.example)", p("*" + a("https://b.example/", "a*"))),
        ("[`]`](https://b.example)", p(a("https://b.example/", c("]")))),
    ],
    "images are links": [
        ("![a](https://b.example/i.png)", p(a("https://b.example/i.png", "a", ' class="image"'))),
        ("![](https://b.example/i.png)", p(a("https://b.example/i.png", "https://b.example/i.png", ' class="image"'))),
        ("[![a](https://b.example)](https://c.example)", p(a("https://c.example/", "a"))),
    ],
    "entities": [
        ("&amp; &lt;b&gt; &copy; &#65; &#x42; &nbsp;.", p("&amp; &lt;b&gt; © A B &nbsp;.")),
        ("&unknown; &#0; &#xd800; &#99999999;", p("&amp;unknown; \ufffd \ufffd &amp;#99999999;")),
        ("&constructor; &toString;", p("&amp;constructor; &amp;toString;")),
        ("&#42;a&#42;", p("*a*")),
    ],
}


@pytest.mark.parametrize("subject", WHOLE)
def test_markdown(chat: Chat, subject: str) -> None:
    """Each text becomes these nodes."""
    cases = WHOLE[subject]
    shown = rendered(chat, [[text] for text, _ in cases])

    assert dict(cases) == dict(zip([text for text, _ in cases], shown, strict=True))


OPEN = [
    ("**bol", p("<strong>bol</strong>")),
    ("a **", p("a ")),
    ("***a", p("<em><strong>a</strong></em>")),
    ("*a **b", p("<em>a <strong>b</strong></em>")),
    ("~~a", p("<del>a</del>")),
    ("`cod", p(c("cod"))),
    ("```python\na =", code("a =\n", "python")),
    ("a\n```", p("a")),
    ("[a](https://b.exam", p("a")),
    ("a [b", p("a [b")),
    ("a\n-", p("a")),
    ("a\n==", p("a")),
    ("a\n\n#", p("a")),
    ("- a\n-", ul(li("a"))),
    ("1. a\n2.", ol(li("a"))),
    ("a\n\n| b |", p("a")),
    ("| a | b", ""),
    ("| a |\n# b", p("| a |") + h(1, "b")),
    ("a\n| b |\n|--", p("a")),
    ("| a |\nb", p("| a |\nb")),
    ("|a|\n|-|\n|*b", table(["a"], ["<em>b</em>"])),
    ("**a\n\nb", p("**a") + p("b")),
    ("> *a", quote(pi("<em>a</em>"))),
    ("- **a", ul(li("<strong>a</strong>"))),
]


def test_what_is_not_whole_is_shown_as_if_it_were(chat: Chat) -> None:
    """While more may come an open marker counts as closed, and one that has nothing yet is not shown."""
    shown = rendered(chat, [[text] for text, _ in OPEN], open=True)

    assert dict(OPEN) == dict(zip([text for text, _ in OPEN], shown, strict=True))


ATOMS = [
    "a", "b ", " ", "  ", "\n", "\n\n", "*", "**", "_", "`", "```", "```\n", "~~", "- ", "1. ", "# ", "> ", "    ",
    "---", "===", "\n---\n", "[a](https://b.example)", "[", "](", ")", "!", "\\", "&amp;", "&", "<", "|", "\n|-|-|\n",
    "a|b", "- [x] ", "\r\n", "\t", "https://b.example", "<script>", "é", "😀", "\n- ",
    "\n  - ", "\n1. ", "\n> ", "\n\n    ",
]  # fmt: skip


def test_however_it_is_cut_the_nodes_are_the_same(chat: Chat) -> None:
    """A text in random pieces, drawn after each, ends as the same nodes as the whole text."""
    chance = random.Random(6)
    texts = ["".join(chance.choices(ATOMS, k=chance.randint(1, 40))) for _ in range(400)]
    texts += [text for cases in WHOLE.values() for text, _ in cases]
    whole = rendered(chat, [[text] for text in texts])
    single = rendered(chat, [list(text) for text in texts])
    cut = rendered(chat, [_pieces(text, chance) for text in texts])

    assert dict(zip(texts, whole, strict=True)) == dict(zip(texts, single, strict=True))
    assert dict(zip(texts, whole, strict=True)) == dict(zip(texts, cut, strict=True))


def _pieces(text: str, chance: random.Random) -> list[str]:
    cuts = sorted(chance.choices(range(len(text) + 1), k=5))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def test_what_is_settled_is_not_touched(chat: Chat) -> None:
    """Nodes that are there stay the same ones, and a selection in the block that grows stays, too."""
    kept = chat.driver.execute_async_script("""
        const done = arguments[0];
        import("/static/markdown.js").then(({ MarkdownView }) => {
          const root = document.createElement("div");
          document.body.append(root);
          const view = new MarkdownView(root);
          view.append("a *b*\\n\\n```\\nx = 1\\n");
          view.render();
          const [paragraph, figure] = root.children;
          const text = figure.querySelector("code").firstChild;
          getSelection().setBaseAndExtent(text, 0, text, 5);
          view.append("y = 2\\n```\\n\\nafter");
          view.render();
          const same = root.children[0] === paragraph && root.children[1] === figure;
          const result = [same, String(getSelection()), root.children.length];
          root.remove();
          done(result);
        });
    """)

    assert [True, "x = 1", 3] == kept


DEEP = [
    *(piece * (100_000 // len(piece)) for piece in ("[", "![", "[a](", "> ", "- ", "*", "**a ", "_a*", "`", "<")),
    "*" * 50_000 + "a" + "*" * 50_000,
    "**a *b " * 5_000 + "* **" * 5_000,
    "![" * 5_000 + "x" + "](https://b.example)" * 5_000,
    "- " * 500 + "a\n" + "  " * 500 + "b",
]


@pytest.mark.parametrize("text", DEEP, ids=lambda text: text[:8])
def test_nesting_has_an_end(chat: Chat, text: str) -> None:
    """Text that nests as deep as it can is neither too deep nor too slow for a browser."""
    depth = chat.driver.execute_async_script(
        """
        const [text, done] = arguments;
        import("/static/markdown.js").then(({ MarkdownView }) => {
          const root = document.createElement("div");
          const view = new MarkdownView(root);
          view.append(text);
          view.render({ open: false });
          let nodes = [...root.children];
          let depth = 0;
          for (; nodes.length > 0; depth += 1) nodes = nodes.flatMap((node) => [...node.children]);
          done(depth);
        });
        """,
        text,
    )

    assert 1 <= depth < 100


@pytest.mark.parametrize(
    "block",
    [
        "A paragraph of *some* words.\n\n",
        "- an item of a list\n",
        "x = f(x)  # code\n",
        "one long paragraph ",
        "one with **bold**, `code` and [links](https://example.org/) ",
    ],
)
def test_a_long_text_is_quick(chat: Chat, block: str) -> None:
    """200 kB in 4,000 pieces, drawn as the page does it, take the browser far less time than any model."""
    text = "```\n" * block.startswith("x") + block * (200_000 // len(block))
    seconds, length = chat.driver.execute_async_script(
        """
        const [text, done] = arguments;
        Promise.all([import("/static/markdown.js"), import("/static/painter.js")]).then(
          async ([{ MarkdownView }, { Painter }]) => {
            const root = document.createElement("div");
            document.body.append(root);
            const view = new MarkdownView(root);
            let spent = 0;
            const measured = (work) => {
              const began = performance.now();
              work();
              spent += performance.now() - began;
            };
            const painter = new Painter(() => measured(() => view.render()));
            for (let at = 0; at < text.length; at += 50) {
              measured(() => view.append(text.slice(at, at + 50)));
              painter.request();
              if (at % 2000 === 0) await new Promise(requestAnimationFrame);
            }
            measured(() => view.render({ open: false }));
            done([spent / 1000, root.textContent.length]);
            root.remove();
          },
        );
        """,
        text,
    )

    assert seconds < 4
    assert length > 90_000
