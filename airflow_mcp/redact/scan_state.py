"""The state of one text while it is read for secrets: the spans to mask, and how far it has been read."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_mcp.redact.names import MASK, fold_case
from airflow_mcp.redact.values import Values


@dataclass
class ScanState:
    """The state that the readers of one text share."""

    text: str
    low: str = ""  # the text in lower case, character by character
    position: int = 0  # the text before it has been read, and is not examined again
    spans: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    values: Values = field(init=False)

    def __post_init__(self) -> None:
        self.low = self.low or fold_case(self.text)
        self.values = Values(self.text)

    def mask(self, start: int, end: int) -> None:
        """Record a span to mask, which also counts as read; an empty span and a mask stay as they are."""
        if end > start and self.text[start:end] != MASK:
            self.spans.append((start, end))
        self.position = max(self.position, end)

    def write_masked(self) -> str:
        """Return the text with each span as one mask; spans that touch or overlap are one."""
        if not self.spans:
            return self.text
        parts: list[str] = []
        written_end = -1
        for start, end in sorted(self.spans):
            if start > written_end:
                parts += (self.text[max(written_end, 0) : start], MASK)
            written_end = max(written_end, end)
        parts.append(self.text[written_end:])
        return "".join(parts)
