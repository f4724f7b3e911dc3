"""A plugin that cannot be imported, and says secrets when it fails."""

# pyright: basic, reportMissingImports=false

from __future__ import annotations

try:
    import module_that_is_missing_in_a_plugin  # noqa: F401
except ImportError as error:
    raise ImportError(
        str(error)
        + """
<<plugin>>
"""
    ) from None
