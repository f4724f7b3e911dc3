"""The catalog and each version's document, read once for all tests of the referee."""

from functools import cache

import pytest

from airflow_mcp.catalog.loader import load_catalog
from tests.referee.documents import DocumentError, read_document
from tests.referee.openapi import Document

CATALOG = load_catalog()


@cache
def _found(version: str) -> Document | DocumentError:
    try:
        return Document(version, read_document(version))
    except DocumentError as error:
        return error


def document(version: str) -> Document:
    """A version's document; a test that cannot have it fails with one sentence."""
    document = _found(version)
    if isinstance(document, DocumentError):
        pytest.fail(f"The OpenAPI document of Airflow {version} is missing: {document}", pytrace=False)
    return document
