"""Find which DAGs each source file defines: a rule about any of these DAGs applies to the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mcp.errors import NotAllowedError

if TYPE_CHECKING:
    from airflow_mcp.dispatch.call import Call
    from airflow_mcp.dispatch.operations.executor import OperationExecutor

_PAGE = 100  # DAGs per request
_MOST_PAGES = 20  # requests to map all files to their DAGs


async def map_files_to_dags(executor: OperationExecutor, call: Call) -> dict[tuple[str, str], set[str]]:
    """Map (bundle, file) to DAG ids.

    Airflow 2.x identifies a file by its full path, 3.x by its path within a bundle: both are keys. Raises
    NotAllowedError when there are more than 2,000 DAGs.
    """
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
