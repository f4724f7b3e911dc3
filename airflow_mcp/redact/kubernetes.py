"""Values of a Kubernetes Secret in YAML, whatever their keys are called."""

from __future__ import annotations

import re

from airflow_mcp.redact.scan_state import ScanState

KUBERNETES_KIND = "kind: secret"
_WHOLE_LINE = re.compile(r"[^\n]{12}[ \t\r]*(?:\n|$)")
_DATA = re.compile(r"(?m)^([ \t]*)(?:data|stringData):[ \t]*\r?\n")
_ENTRY = re.compile(r"""(?m)^([ \t]*)[\w."'-]{1,256}:[ \t]+(?=\S)""")


class Manifests:
    """Reader of Secrets; it reads each document of a stream once, so that many take linear time."""

    def __init__(self, scan: ScanState) -> None:
        self.scan = scan
        self._document_end = 0

    def read(self, start: int) -> None:
        """Mask the values under `data` and `stringData` in the document whose kind is at this position."""
        text = self.scan.text
        if start < self._document_end or not _WHOLE_LINE.match(text, start):
            return
        first = max(text.rfind("\n---", self._document_end, start), self._document_end)
        end = text.find("\n---", start)
        self._document_end = end = len(text) if end < 0 else end
        for data in _DATA.finditer(text, first, end):
            self._mask_entries(data.end(), min(self.scan.values.find_deeper_end(data.end(), len(data[1])), end))

    def _mask_entries(self, first: int, end: int) -> None:
        entries = list(_ENTRY.finditer(self.scan.text, first, end))
        entries = [entry for entry in entries if entry[1] == entries[0][1]]
        ends = [*(entry.start() - 1 for entry in entries), end][1:]
        for entry, stop in zip(entries, ends, strict=True):
            self.scan.spans.append((entry.end(), stop))  # the text between them is still to be read
