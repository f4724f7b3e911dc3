"""Pure: the links that a text holds, as chats, mails and login pages hand them on.

Chats write <url|text> (Slack), [text](url) (Markdown), [text|url] (Jira) or put a full stop behind it; HTML mail writes
&amp;; mail scanners and login pages carry the link inside another one: in a query (?url=, ?next=), in a segment of the
path, or in a spelling of their own (Proofpoint's URL Defense, versions 2 and 3).
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Generator
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

from airflow_mcp.text import clean

_LONGEST = 8_000  # characters of a text that is looked at
_MOST_LAYERS = 4  # links inside links
_URL = re.compile(r"https?://[^\s<>\"`|]+", re.IGNORECASE)
_MARKDOWN = re.compile(r"\]\(\s*<?(https?://[^\s<>\"]+|/[^\s<>\"]*)", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:amp|#0*38|#x0*26|lt|gt|quot|#0*39|#x0*27);", re.IGNORECASE)
_TRAILING = ".,;:!?'\"*…\\"
_BRACKETS = {")": "(", "]": "[", "}": "{"}
_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)
_LOGIN = re.compile(r"/(?:login|log-?in|sign-?in|signin|oauth2?/(?:start|sign_in)|sso)(?:/|$)", re.IGNORECASE)
_DEFENSE_3 = re.compile(r"/v3/__(.+?)__;([^!]*)!")
_RUN_LENGTHS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"  # of "**X" in version 3: 2 and more


def extract_links(text: str) -> list[str]:
    """Every link of a text in its order, the innermost before what carries it; the text itself where it holds none.

    At most the first 8,000 characters are looked at.
    """
    plain = clean(text[:_LONGEST]).strip()
    for _ in range(_MOST_LAYERS):
        plain = _ENTITY.sub(lambda match: html.unescape(match[0]), plain)
    spans = [(match.start(1), _strip_punctuation(match[1])) for match in _MARKDOWN.finditer(plain)]
    spans += [(match.start(), _strip_punctuation(match[0])) for match in _URL.finditer(plain)]
    if not spans:
        spans = [(0, _strip_scheme(plain))]
    ordered = dict.fromkeys(link for _, link in sorted(spans, key=lambda span: span[0]))
    return list(dict.fromkeys(each for link in ordered for each in _unwrap_layers(link)))


def is_login(url: str) -> bool:
    """Whether a link leads to a page that logs in, and so is about whatever it carries."""
    try:
        return bool(_LOGIN.search(urlsplit(url).path))
    except ValueError:
        return False


def _strip_scheme(text: str) -> str:
    """A link without its scheme, or its path alone: the first word with a slash."""
    words = [word for word in text.split() if "/" in word]
    return (words[0] if words else text).strip("<>()").split("|")[0]


def _unwrap_layers(url: str, depth: int = 0) -> Generator[str]:
    if depth < _MOST_LAYERS:
        for inner in _find_nested(url):
            yield from _unwrap_layers(inner, depth + 1)
    yield url


def _find_nested(url: str) -> Generator[str]:
    """The links that another one carries."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    if parts.netloc.casefold().endswith("urldefense.com") and (match := _DEFENSE_3.search(url)):
        yield _restore_url(match[1], match[2])
        return
    if "urldefense" in parts.netloc.casefold() and parts.path.startswith("/v2/"):
        for name, value in parse_qsl(parts.query):
            if name == "u":
                yield unquote(value.translate(str.maketrans("-_", "%/")))
        return
    for _, value in parse_qsl(parts.query):
        text = unquote(value) if value[:12].casefold().startswith(("http%3a", "https%3a", "%2f")) else value
        if _ABSOLUTE.match(text):
            yield text
        elif text.startswith("/") and not text.startswith("//") and _LOGIN.search(parts.path):
            yield urljoin(url, text)
    for segment in parts.path.split("/"):
        if _ABSOLUTE.match(text := unquote(segment)):
            yield text


def _restore_url(url: str, replaced: str) -> str:
    """A link of URL Defense, version 3: each "*" stands for the next of the characters that were taken out."""
    try:
        characters = iter(base64.urlsafe_b64decode(f"{replaced}{'=' * (-len(replaced) % 4)}").decode())
    except (binascii.Error, UnicodeDecodeError):
        return url
    return re.sub(
        r"\*(?:\*([A-Za-z0-9_-]))?",
        lambda match: "".join(next(characters, "") for _ in range(_RUN_LENGTHS.index(match[1]) + 2 if match[1] else 1)),
        re.sub(r"^(https?):/(?!/)", r"\1://", url),
    )


def _strip_punctuation(url: str) -> str:
    """A link without the punctuation of the text around it; a bracket stays where its partner is inside the link."""
    while url:
        last = url[-1]
        if last in _TRAILING or (last in _BRACKETS and url.count(last) > url.count(_BRACKETS[last])):
            url = url[:-1]
        elif "](" in url:  # the text of a Markdown link is a link too
            url = url.partition("](")[0]
        else:
            break
    return url
