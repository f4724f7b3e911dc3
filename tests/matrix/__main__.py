"""`python -m tests.matrix [versions] [rows]`: runs the core rows, or those named, on every version, or those named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("matrix.py")

if __name__ == "__main__":
    chosen = [f"--choose={word}" for word in sys.argv[1:]]
    sys.exit(pytest.main(["-p", "tests.matrix.table", str(FILE), "-v", "-s", "-rN", "--tb=short", *chosen]))
