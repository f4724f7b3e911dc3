"""The health check of a server on this machine, with the standard library alone: the image has no curl."""

from __future__ import annotations

import http.client
import ssl

from airflow_mcp.errors import UnhealthyError

_SECONDS = 5.0
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - where such a server is asked


def require_alive(host: str, port: int, *, tls: bool) -> None:
    """Return when `GET /healthz` answers 200. Raises UnhealthyError with the reason."""
    host = _EVERY_ADDRESS.get(host, host)
    if tls:  # the certificate names the host that clients use, not this address
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise UnhealthyError(f"The server at {host}:{port} does not answer: {error}.") from None
    finally:
        connection.close()
    if status != http.client.OK:
        raise UnhealthyError(f"The server at {host}:{port} answers /healthz with {status}.")
