"""Which DAGs stand in which file: a file is of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mcp.errors import NotAllowedError

if TYPE_CHECKING:
    from airflow_mcp.dispatch.call import Call
    from airflow_mcp.dispatch.operations.executor import OperationExecutor

_PAGE = 100  # DAGs a request
_MOST_PAGES = 20  # requests to learn which DAGs are in a file


async def map_files_to_dags(executor: OperationExecutor, call: Call) -> dict[tuple[str, str], set[str]]:
    """(bundle, file) -> DAG ids; 2.x names files by their whole path, 3.x within a bundle, and both are keys."""
    listing = executor.catalog.operations["list_dags"]
    files: dict[tuple[str, str], set[str]] = {}
    offset = 0
    for _ in range(_MOST_PAGES):
        page = {"exclude_stale": False, "limit": _PAGE, "offset": offset}
        reply = await executor.operate(call.step(listing, page))
        for row in reply.rows or []:
            offset += 1
            for bundle, file in (("", row.get("fileloc")), (row.get("bundle_name"), row.get("relative_fileloc"))):
                if bundle is not None and file:
                    files.setdefault((bundle, file), set()).add(row["dag_id"])
        if not reply.rows or offset >= (reply.total or 0):
            return files
    raise NotAllowedError(
        f"Policy depends on DAGs, and this Airflow has more than {_MOST_PAGES * _PAGE} of them: which of them are "
        "in a file cannot be told, so files are not shown."
    )
