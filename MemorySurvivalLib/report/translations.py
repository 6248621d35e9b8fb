"""The template for translators: every sentence of the report's pages, found in the code.

python -m MemorySurvivalLib.report.translations > Resources/Locale/memory-survival.pot
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARKERS = ("tr", "later")
CONTEXT_MARKER = "pgettext"

_HEAD = """\
# Sentences of MemorySurvival's report. Words in {braces} are filled in and stay as they are.
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"""


@dataclass(frozen=True, order=True)
class Message:
    """One text to translate; `context` tells texts apart that look the same ("decimal sign")."""

    text: str
    context: str = ""


def find_messages(folder: Path) -> tuple[Message, ...]:
    """Every text of the Python files in a folder that passes through the translation, in order, once.

    Raises ValueError for one that is put together at run time, which no translator could find.
    """
    found: dict[Message, None] = {}
    for file in sorted(folder.glob("*.py")):
        for message in _messages_of(ast.parse(file.read_text(encoding="utf-8")), file.name):
            found[message] = None
    return tuple(sorted(found))


def write_template(messages: tuple[Message, ...]) -> str:
    """The template (.pot) with all texts."""
    return "\n".join((_HEAD, *(_entry(message) for message in messages)))


def _messages_of(tree: ast.Module, name: str) -> Iterator[Message]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if called == CONTEXT_MARKER:
            yield Message(texts[1], texts[0])
        elif called in MARKERS and len(texts) == 1:
            yield Message(texts[0])
        elif called in MARKERS and isinstance(node.args[0], ast.JoinedStr | ast.BinOp):
            raise ValueError(f"{name}:{node.lineno}: a text to translate must be one constant")


def _entry(message: Message) -> str:
    context = f"msgctxt {_quoted(message.context)}\n" if message.context else ""
    return f'{context}msgid {_quoted(message.text)}\nmsgstr ""\n'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(write_template(find_messages(Path(__file__).parent)))
