"""Whose limits a request counts towards."""

from __future__ import annotations

from ipaddress import ip_network

from bot.web.peers import UNKNOWN, Network, peer_of
from tests.rows import each_row

PROXIES: tuple[Network, ...] = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
STRANGER, FORGED = "203.0.113.9", "198.51.100.7"


@each_row(
    ("address", "forwarded_for", "trusted", "peer"),
    [
        (STRANGER, [], (), STRANGER),
        (STRANGER, [FORGED], (), STRANGER),  # no proxy is trusted
        (STRANGER, [FORGED], PROXIES, STRANGER),  # who says so is none
        ("10.0.0.1", [STRANGER], PROXIES, STRANGER),
        ("10.0.0.1", [f"{FORGED}, {STRANGER}"], PROXIES, STRANGER),  # only the last one is the proxy's word
        ("10.0.0.1", [FORGED, STRANGER], PROXIES, STRANGER),
        ("10.0.0.1", [f"{FORGED}, {STRANGER}, 10.0.0.2"], PROXIES, STRANGER),  # two proxies
        ("10.0.0.1", [], PROXIES, "10.0.0.1"),
        ("10.0.0.1", ["unknown"], PROXIES, "10.0.0.1"),
        ("10.0.0.1", [f"{STRANGER}:4711"], PROXIES, STRANGER),
        ("::ffff:10.0.0.1", [STRANGER], PROXIES, STRANGER),
        ("fd00::1", ["[2001:db8:1:2:3::4]:443"], PROXIES, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", [], (), "2001:db8:1:2::/64"),  # all of it is one peer's
        ("", [STRANGER], PROXIES, UNKNOWN),
        ("10.0.0.1", [",".join(["10.0.0.2"] * 10_000)], PROXIES, "10.0.0.2"),
    ],
)
def test_a_peer_is_named_by_the_last_address_that_can_be_believed(
    address: str, forwarded_for: list[str], trusted: tuple[Network, ...], peer: str
) -> None:
    assert peer_of(address, forwarded_for, trusted) == peer
