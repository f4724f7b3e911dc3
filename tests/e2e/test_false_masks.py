"""How much of real text is masked that is no secret: each mask is reviewed, and few words are hidden wrongly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_mcp.redact import redact
from tests.unit.redaction import MASKED, parts_of

from .masks import LINES, choose_samples, find_masks

REVIEWED = Path(__file__).with_name("reviewed_masks.json")
MOST_WRONG = 1.0  # words masked wrongly of 1,000


def test_few_words_of_real_logs_dags_and_documents_are_masked_wrongly(capsys: pytest.CaptureFixture[str]) -> None:
    samples = choose_samples()
    assert sum(len(sample.text.splitlines()) for sample in samples) >= sum(LINES.values()) - 20  # empty last lines
    masks = [mask for sample in samples for mask in find_masks(sample)]
    verdicts = {
        (row["source"], row["before"], row["hidden"]): row["verdict"]
        for row in json.loads(REVIEWED.read_text(encoding="utf-8"))
    }
    made = {(mask.source, mask.before, mask.hidden) for mask in masks}
    assert set(verdicts.values()) <= {"right", "wrong"}
    assert made - set(verdicts) == set(), f"review these, and add them to {REVIEWED.name}"
    assert set(verdicts) - made == set(), f"no longer masked: take them out of {REVIEWED.name}"

    words = sum(len(sample.text.split()) for sample in samples)
    wrong = sum(mask.words for mask in masks if verdicts[mask.source, mask.before, mask.hidden] == "wrong")
    whole = sum(
        not any(part in json.dumps(redact(value), ensure_ascii=False) for part in parts_of(secret))
        for value, secret in MASKED.values()
    )
    with capsys.disabled():
        print(
            f"\nshapes masked: {whole} of {len(MASKED)}; masked wrongly: {wrong} of {words} words, "
            f"{1000 * wrong / words:.2f} in 1,000; {len(masks)} masks in {sum(LINES.values())} lines"
        )
    assert whole == len(MASKED)
    assert 1000 * wrong / words <= MOST_WRONG
