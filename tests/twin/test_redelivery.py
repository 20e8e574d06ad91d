"""In a stream, order is offset order, and an event comes until it is acknowledged."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from .things import House, result

MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from(["a", "b"])),
        st.tuples(st.just("ack"), st.integers(0, 30)),
        st.tuples(st.sampled_from(["take", "lost", "kill", "full", "space", "wait"])),
    ),
    max_size=60,
)


class Model:
    """What one follower was given and has acknowledged, beside what was published."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.published = {"a": 0, "b": 0}
        self.acked: dict[str, set[int]] = {"a": set(), "b": set()}
        self.given: list[tuple[str, int]] = []
        self.last: dict[str, int] = {}
        self.connect()

    def connect(self) -> None:
        self.given, self.last = [], {}
        self.thing = self.house.thing("f")
        self.is_started = self.thing.follow(max_unacked=5)["op"] == "ok"
        self.thing.assets()

    def take(self) -> None:
        for asset, offset in self.thing.events():
            before = self.last.get(asset)
            if before is None:  # it begins where all before is acknowledged, and not behind that
                assert set(range(offset)) <= self.acked[asset]
            else:
                assert offset == before + 1
            self.last[asset] = offset
            self.given.append((asset, offset))

    def ack(self, which: int) -> None:
        if self.given:
            asset, offset = self.given.pop(which % len(self.given))
            self.thing.ack(asset, offset)
            self.acked[asset].add(offset)


@settings(max_examples=150)
@given(MOVES)
def test_it_comes_in_order_until_it_is_acknowledged(moves: list[tuple[object, ...]]) -> None:
    """FO-17, FO-20, FO-21, FO-23: over lost connections, kill -9 and a full disk."""
    model = Model(House(assets=("a", "b")))
    for name, *more in moves:
        house = model.house
        if name == "publish" and house.log.error is None:
            asset = str(more[0])
            offset = result(house.twin.publish(asset, "Said", {"words": "hi"}))
            assert offset == model.published[asset]
            model.published[asset] += 1
        elif name == "ack":
            model.ack(int(str(more[0])))
        elif name == "take":
            model.take()
        elif name == "lost":
            model.thing.session.lost("lost")
            model.connect()
        elif name == "kill":
            model.house = house.restart(assets=("a", "b"))
            model.connect()
        elif name == "full":
            house.log.fill()
        elif name == "space":
            house.log.error = None
        elif name == "wait":
            house.run.advance(70)

    model.house.log.error = None
    model.thing.session.lost("lost")
    model.house = model.house.restart(assets=("a", "b"))
    model.connect()
    for _ in range(200):
        model.take()
        if not model.given:
            break
        model.ack(0)
    assert model.acked == {asset: set(range(n)) for asset, n in model.published.items()}
    assert model.thing.errors() == []
