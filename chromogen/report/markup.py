"""HTML that cannot be injected into: every text is escaped on its way into a tag, unless it is itself the work of a tag."""

from collections.abc import Iterable
from html import escape


class Html(str):
    """Finished HTML."""

    __slots__ = ()


VOID = ("img", "meta")

Content = str | Iterable["Content"]


def markup(content: Content) -> Html:
    """Content one after the other as HTML; plain text is escaped."""
    if isinstance(content, str):
        return content if isinstance(content, Html) else Html(escape(content))
    return Html("".join(markup(part) for part in content))


def tag(name: str, /, *content: Content, **attributes: str | float | None) -> Html:
    """`<name ...>content</name>`. `class_` is class, `stroke_width` is stroke-width; an attribute of None is left out."""
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    opening = " ".join([name, *(f'{key}="{escape(_text(value))}"' for key, value in given.items())])
    return Html(f"<{opening}>" if name in VOID else f"<{opening}>{markup(content)}</{name}>")


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
