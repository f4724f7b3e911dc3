"""The error for an Airflow that gave no answer, with a sentence that says what to check."""

from __future__ import annotations

import ssl

import httpx2

from airflow_mcp.errors import AirflowUnreachableError

# What a broken connection raises. In TLS 1.3 a refused certificate is an alert instead of the answer, and httpx2 passes
# it on as it is.
CONNECTION_ERRORS = (httpx2.TransportError, httpx2.DecodingError, ssl.SSLError)
UNSENT_ERRORS = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_PROXY = "AIRFLOW_MCP_PROXY, or HTTPS_PROXY and HTTP_PROXY of the environment"
_CLIENT_CERT = "it may want a certificate of this server's, or another one: AIRFLOW_MCP_CLIENT_CERT names it"


def build_unreachable_error(
    error: Exception, url: str, timeout: float, *, repeatable: bool, answered: bool, proxied: bool
) -> AirflowUnreachableError:
    """Build the error for a request that got no answer within `timeout` seconds.

    `answered` says whether this Airflow has ever answered; `proxied` whether there is a proxy before it. The error does
    not contain the proxy's address, which may hold a password.
    """
    text = str(error)
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        reason = f"gave no answer within {timeout:g} seconds (AIRFLOW_MCP_TIMEOUT)"
    elif isinstance(error, httpx2.ProxyError):
        reason = f"cannot be reached: the proxy ({_PROXY}) refuses. Are its address, user and password right?"
    elif "WRONG_VERSION_NUMBER" in text:
        reason = "does not speak TLS. Is its address http:// instead of https://?"
    elif "ALERT" in text:
        reason = f"refuses TLS with us; {_CLIENT_CERT}"
    elif "CERTIFICATE" in text or "SSL" in text:
        reason = "shows a TLS certificate that is not trusted here; AIRFLOW_MCP_CA_FILE names the CA that signed it"
    elif isinstance(error, httpx2.ConnectError) and proxied:
        reason = f"cannot be reached. Is the proxy ({_PROXY}) running, and are both addresses right?"
    elif isinstance(error, httpx2.ConnectError):
        reason = "cannot be reached. Is it running, and is AIRFLOW_MCP_URL right?"
    elif url.startswith("https:") and not answered:
        reason = f"broke the connection ({type(error).__name__}); {_CLIENT_CERT}"
    else:
        reason = f"broke the connection ({type(error).__name__})"
    sent = not repeatable and not isinstance(error, UNSENT_ERRORS)
    return AirflowUnreachableError(f"Airflow at {url} {reason.rstrip('.')}.".replace("?.", "?"), sent=sent)
