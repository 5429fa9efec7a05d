"""The server itself: TLS, concurrency, shutdown."""

from __future__ import annotations

import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.simulator.apps import private_key
from tests.simulator.github import serve_github


def self_signed(folder):
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = load_pem_private_key(private_key(0).encode(), None)
    assert isinstance(key, RSAPrivateKey)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "simulated GitHub")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_text(private_key(0))
    return folder / "cert.pem", folder / "key.pem"


def test_ghes_with_its_own_certificate(tmp_path):
    certificate, key = self_signed(tmp_path)
    with serve_github(tmp_path, description="ghes-3.19", tls=(certificate, key)) as github:
        github.account("alice")
        trusting = ssl.create_default_context(cafile=str(certificate))
        with httpx.Client(verify=trusting, trust_env=False) as client:
            assert client.get(f"{github.api_url}/users/alice").json()["login"] == "alice"
        with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ConnectError, match="CERTIFICATE"):
            client.get(f"{github.api_url}/users/alice")


def test_concurrent_actions_and_requests(world):
    """Twenty threads write while another renames: nothing is lost, and every response is as described."""
    world.github.limits.writes_a_minute = None
    stop = threading.Event()

    def rename() -> None:
        for number in range(200):
            if stop.is_set():
                return
            world.shop.archive() if number % 2 else world.shop.unarchive()

    def write(number: int) -> int:
        with httpx.Client(trust_env=False, verify=False) as client:
            run = {"name": f"n{number}", "head_sha": world.head, "status": "queued"}
            headers = {"authorization": f"Bearer {world.token}"}
            url = f"{world.github.api_url}/repos/acme/shop/check-runs"
            return client.post(url, json=run, headers=headers).status_code

    acting = threading.Thread(target=rename)
    acting.start()
    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(write, range(60)))
    stop.set()
    acting.join()
    assert set(statuses) <= {201, 403}
    assert len(world.shop.check_runs) == statuses.count(201)
    assert len({run["id"] for run in world.shop.check_runs}) == len(world.shop.check_runs)


def test_the_port_is_closed_afterwards(tmp_path):
    with serve_github(tmp_path) as github, httpx.Client(trust_env=False, verify=False) as client:
        assert client.get(f"{github.url}/demo").status_code == 200
        port = urlsplit(github.url).port
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
