"""Nobody's work locks out everybody else's: places are shared out between those who want them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_mcp.addresses import derive_peer
from airflow_mcp.dispatch.safety.rate_limits import WINDOW, RecentCalls
from airflow_mcp.fair_share import SOLE_HOLDER, FairShare


@given(places=st.integers(2, 64), others=st.integers(0, 3))
def test_a_newcomer_finds_a_place_however_much_others_want(places: int, others: int) -> None:
    shares = FairShare(places)
    for _ in range(places):
        for other in range(others):
            shares.take(f"other {other}")
    assert shares.take("newcomer") is (shares.free >= 0 and places > others)


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "c", SOLE_HOLDER])), max_size=60), st.integers(1, 9)
)
def test_no_place_is_lost_or_given_twice(steps: list[tuple[bool, str]], places: int) -> None:
    shares, held = FairShare(places), list[str]()
    for takes, holder in steps:
        if takes and shares.take(holder):
            held.append(holder)
        elif not takes and holder in held:
            held.remove(holder)
            shares.give_back(holder)
        assert shares.free == places - len(held) >= 0
        assert all(shares.count_places(name) == held.count(name) for name in ("a", "b", "c", SOLE_HOLDER))


def test_who_shares_with_nobody_has_every_place() -> None:
    shares = FairShare(8)
    assert [shares.take(SOLE_HOLDER) for _ in range(9)] == [True] * 8 + [False]


def test_one_machine_is_one_peer_whatever_address_it_comes_from() -> None:
    assert derive_peer("2001:db8:1:2::1") == derive_peer("2001:db8:1:2:ffff::9") != derive_peer("2001:db8:1:3::1")
    assert derive_peer("::ffff:192.0.2.1") == derive_peer("192.0.2.1") == "192.0.2.1"
    assert derive_peer("x" * 40_000) == derive_peer("no address") == derive_peer("") == "unknown"
    assert derive_peer("::1") == "::1"


def test_a_flood_of_names_is_remembered_in_bounded_memory_and_escapes_no_limit() -> None:
    now = [0.0]
    calls = RecentCalls(lambda: now[0], most=100)
    assert calls.wait("alice", 1, count=True) == 0
    waits = [calls.wait(f"invented {number}", 1, count=True) for number in range(1000)]
    assert waits[:99] == [0.0] * 99
    assert waits[99] == 0.0  # the one count that all others share
    assert min(waits[100:]) > 0
    assert calls.wait("alice", 1, count=True) > 0
    assert len(calls) <= 101
    now[0] = WINDOW + 1
    assert calls.wait("bob", 1, count=True) == 0
    assert len(calls) == 1
