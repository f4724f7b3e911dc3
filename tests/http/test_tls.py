"""The server speaks TLS itself where the operator gives it a certificate."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.http.serving import PATIENCE, serving
from tests.unit.fake_airflow import FakeAirflow


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert, private = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert, private


def test_with_a_certificate_it_serves_https(airflow: FakeAirflow, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with serving(airflow, tmp_path, http_tls_cert=str(cert), http_tls_key=str(key)) as served:
        assert served.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=str(cert))
        answer = httpx2.get(f"{served.url}/healthz", verify=trusting, timeout=PATIENCE, trust_env=False)
        assert answer.json() == {"status": "ok"}


@pytest.mark.parametrize(("which", "words"), [("http_tls_cert", "go together"), ("http_tls_key", "go together")])
def test_a_certificate_without_its_key_is_refused(tmp_path: Path, which: str, words: str) -> None:
    cert, _ = certificate(tmp_path)
    with pytest.raises(AssertionError, match=words), serving(None, tmp_path, **{which: str(cert)}):
        pass
