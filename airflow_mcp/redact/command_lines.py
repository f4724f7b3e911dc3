"""Passwords that commands take by an option without a sensitive name: `mysql -pX`, `curl -u ann:X`, `sshpass -p X`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class Option(NamedTuple):
    """Options by which a command takes a password: glued to it or before it, as `user:password`, or of a subcommand."""

    names: tuple[str, ...]
    glued: bool = False
    user: str = ""  # separators between a user name, which stays readable, and the password
    only_with: str = ""


_GLUED_P = Option(("-p",), glued=True)
_AFTER_P = Option(("-p",))
_LOGIN_P = Option(("-p",), only_with="login")
_CAPITAL_P = Option(("-P",), glued=True)
_USER = Option(("-u", "--user", "-U", "--proxy-user"), glued=True, user=":")

# By the documentation of each command; `-p` of any other is a port, a path or a project.
COMMANDS: dict[str, Option] = {
    **dict.fromkeys(("mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlcheck", "mysqlsh"), _GLUED_P),
    **dict.fromkeys(("mariadb", "mariadb-dump", "mariadb-admin"), _GLUED_P),
    **dict.fromkeys(("sshpass", "winexe"), Option(("-p",), glued=True)),
    **dict.fromkeys(("mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport"), _AFTER_P),
    **dict.fromkeys(("cqlsh", "beeline", "tabcmd", "rabbitmqadmin", "rabbitmqctl", "osql"), _AFTER_P),
    **dict.fromkeys(("docker", "podman", "nerdctl", "buildah", "skopeo", "helm", "oras", "az"), _LOGIN_P),
    **dict.fromkeys(("sqlcmd", "bcp", "tsql", "mosquitto_pub", "mosquitto_sub", "zip", "unzip"), _CAPITAL_P),
    **dict.fromkeys(("ldapsearch", "ldapadd", "ldapmodify", "ldappasswd", "vsql"), Option(("-w",))),
    **dict.fromkeys(("plink", "pscp", "psftp", "nzsql"), Option(("-pw",))),
    **dict.fromkeys(("curl",), _USER),
    "airflow": Option(("-p",), only_with="users"),
    "7z": Option(("-p",), glued=True),
    "redis-cli": Option(("-a", "--pass")),
    "smbclient": Option(("-U", "--user"), user="%"),
    "lftp": Option(("-u", "--user"), user=","),
}
_LONGEST_COMMAND = 64
_PART = re.compile(
    r"""(?P<end>\n|\||;|&&)|(?:\\[\s\S]|[^\s"'\\|;&]|"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"|'[^'\n]*+'|["'&\\])++"""
)
_AROUND = "[](),'\""


def find_passwords(text: str, position: int) -> tuple[list[tuple[int, int]], int]:
    """Find the passwords in the rest of a command line, and the end of the command."""
    spans: list[tuple[int, int]] = []
    end = len(text)
    for part in _PART.finditer(text, position):
        if part["end"]:
            end = part.start()
            break
        start, last = part.span()
        while start < last and text[start] in _AROUND:
            start += 1
        while last > start and text[last - 1] in _AROUND:
            last -= 1
        spans.append((start, last))
    words = [text[start:last] for start, last in spans]
    return [(spans[number][0] + offset, spans[number][1]) for number, offset in _find_words(words)], end


def mask_arguments(arguments: list[str], mask: str) -> list[str]:
    """Mask the passwords in a command that is a list of arguments."""
    safe_arguments = list(arguments)
    for number, offset in _find_words(arguments):
        safe_arguments[number] = arguments[number][:offset] + mask
    return safe_arguments


def _find_words(words: list[str]) -> Iterator[tuple[int, int]]:
    """Yield the number of each word that holds a password, and the position of the password in the word."""
    option: Option | None = None
    plain_words: set[str] = set()
    is_password_next = False
    for number, word in enumerate(words):
        if is_password_next and option and not (word.startswith("-") and len(word) < 3):
            yield from _find_password(number, word, 0, option)
            is_password_next = False
        elif (name := word[-_LONGEST_COMMAND:].rsplit("/", 1)[-1]) in COMMANDS:
            option, plain_words = COMMANDS[name], set()
        elif option and word.startswith("-") and (not option.only_with or option.only_with in plain_words):
            option_name, equals, _ = word.partition("=")
            if word in option.names:
                is_password_next = True
            elif option_name in option.names and equals:
                yield from _find_password(number, word, len(option_name) + 1, option)
            elif option.glued and word[:2] in option.names:
                yield from _find_password(number, word, 2, option)
        elif len(word) <= _LONGEST_COMMAND:
            plain_words.add(word)


def _find_password(number: int, word: str, offset: int, option: Option) -> Iterator[tuple[int, int]]:
    offset += len(word[offset:]) - len(word[offset:].lstrip("'\""))
    if option.user:
        places = [place for separator in option.user if (place := word.find(separator, offset)) >= 0]
        if not places:
            return
        offset = min(places) + 1
    if offset < len(word):
        yield number, offset
