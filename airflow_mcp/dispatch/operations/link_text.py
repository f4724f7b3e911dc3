"""Extract the links from a text as chats, mails and login pages pass them on. Pure: no requests.

Chats write <url|text> (Slack), [text](url) (Markdown), [text|url] (Jira) or end the link with a full stop; HTML mail
writes &amp;; mail scanners and login pages put the link inside another one: in a query (?url=, ?next=), in a segment of
the path, or in an encoding of their own (Proofpoint's URL Defense, versions 2 and 3).
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Generator
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

from airflow_mcp.text import clean

_LONGEST = 8_000  # characters of a text that are searched
_MOST_LAYERS = 4  # links inside links
_URL = re.compile(r"https?://[^\s<>\"`|]+", re.IGNORECASE)
_MARKDOWN = re.compile(r"\]\(\s*<?(https?://[^\s<>\"]+|/[^\s<>\"]*)", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:amp|#0*38|#x0*26|lt|gt|quot|#0*39|#x0*27);", re.IGNORECASE)
_TRAILING = ".,;:!?'\"*…\\"
_BRACKETS = {")": "(", "]": "[", "}": "{"}
_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)
_LOGIN = re.compile(r"/(?:login|log-?in|sign-?in|signin|oauth2?/(?:start|sign_in)|sso)(?:/|$)", re.IGNORECASE)
_DEFENSE_3 = re.compile(r"/v3/__(.+?)__;([^!]*)!")
_RUN_LENGTHS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"  # X of "**X" in version 3: 2 and more


def extract_links(text: str) -> list[str]:
    """Return the links of a text in order, nested links before the outer one; the text itself where it has none.

    Only the first 8,000 characters are searched.
    """
    plain = clean(text[:_LONGEST]).strip()
    for _ in range(_MOST_LAYERS):
        plain = _ENTITY.sub(lambda match: html.unescape(match[0]), plain)
    spans = [(match.start(1), _strip_punctuation(match[1])) for match in _MARKDOWN.finditer(plain)]
    spans += [(match.start(), _strip_punctuation(match[0])) for match in _URL.finditer(plain)]
    if not spans:
        spans = [(0, _strip_scheme(plain))]
    ordered = dict.fromkeys(link for _, link in sorted(spans, key=lambda span: span[0]))
    return list(dict.fromkeys(nested for link in ordered for nested in _unwrap_layers(link)))


def is_login(url: str) -> bool:
    """Tell whether a link leads to a login page, so that only the link nested in it matters."""
    try:
        return bool(_LOGIN.search(urlsplit(url).path))
    except ValueError:
        return False


def _strip_scheme(text: str) -> str:
    """Return the first word with a slash: a link without its scheme, or only its path."""
    words = [word for word in text.split() if "/" in word]
    return (words[0] if words else text).strip("<>()").split("|")[0]


def _unwrap_layers(url: str, depth: int = 0) -> Generator[str]:
    if depth < _MOST_LAYERS:
        for inner in _find_nested(url):
            yield from _unwrap_layers(inner, depth + 1)
    yield url


def _find_nested(url: str) -> Generator[str]:
    """Yield the links nested in a link."""
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
    """Decode a link of URL Defense, version 3, in which each "*" stands for the next of the replaced characters."""
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
    """Remove the punctuation of the surrounding text; a closing bracket stays if the link has the opening one."""
    while url:
        last = url[-1]
        if last in _TRAILING or (last in _BRACKETS and url.count(last) > url.count(_BRACKETS[last])):
            url = url[:-1]
        elif "](" in url:  # a Markdown link whose text is a link too
            url = url.partition("](")[0]
        else:
            break
    return url
