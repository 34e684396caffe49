"""A limit that processes of several nodes divide, against a model of the server, in time that the test decides.

Risk: together they pass the limit by more than is stated, whatever fails; what one of them leased and does not use is
lost to the others; a crashed process keeps its part; requests are refused though there is room.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from modelmux.accounts.limit_leases import first_part
from support.leasing import Process, World

PAUSES = st.sampled_from([0.0, 0.05, 0.1, 0.4, 0.6, 2.1, 9.0, 29.9, 59.9, 61.0])
EVENTS = st.sampled_from(["ask"] * 4 + ["burst"] * 2 + ["step"] * 4 + ["lost before", "lost after", "crash", "flush"])
STEPS = st.lists(st.tuples(PAUSES, EVENTS, st.integers(0, 2)), max_size=40)


def play(world: World, steps: list[tuple[float, str, int]], events: set[str]) -> None:
    for pause, event, number in steps:
        for _ in range(int(pause / 1.5)):  # exchanges go on
            world.settle(0.1)
            world.now += 1.4
        world.now += pause % 1.5
        process = world.processes[number % len(world.processes)]
        if event == "ask":
            process.ask()
        elif event == "burst":
            for _ in range(world.limit + 3):
                process.ask()
        elif event == "step":
            process.step()
        elif event not in events:
            continue
        elif event == "crash":
            index = world.processes.index(process)
            world.processes[index] = Process(world, f"{process.name}'")
        elif event == "flush":
            world.server.flush()
        else:
            world.server.fails = event.removeprefix("lost ")
            process.step()


@settings(deadline=None, max_examples=60)
@given(STEPS, st.integers(1, 30), st.integers(1, 3))
def test_no_more_than_the_limit_and_the_first_parts_in_any_minute(
    steps: list[tuple[float, str, int]], limit: int, nodes: int
) -> None:
    """With answers that are lost, processes that crash, and a server that forgets everything."""
    world = World(limit, nodes)
    play(world, steps, {"lost before", "lost after", "crash", "flush"})
    crashes = sum(event == "crash" for _, event, _ in steps)
    assert world.most_in_a_minute() <= limit + (nodes + crashes) * first_part(limit, nodes)


@settings(deadline=None, max_examples=60)
@given(STEPS, st.integers(1, 30), st.integers(2, 3))
def test_whatever_happened_before_one_process_may_use_what_no_other_uses(
    steps: list[tuple[float, str, int]], limit: int, nodes: int
) -> None:
    world = World(limit, nodes)
    play(world, steps, {"lost before", "lost after", "crash", "flush"})
    for _ in range(55):
        world.settle(0.1)
        world.now += 1.4
    assert [process.seen(0).used for process in world.processes] == [0] * nodes
    process = world.processes[0]
    before = len(world.admitted)
    for _ in range(60):
        while process.ask():
            pass
        world.settle(0.1)
    assert len(world.admitted) - before == limit


@given(st.integers(1, 300), st.integers(1, 300))
def test_what_is_leased_and_not_used_comes_back_in_seconds(first: int, limit: int) -> None:
    world = World(limit, 2)
    one, other = world.processes
    for _ in range(min(first, limit)):
        if not one.ask():
            world.settle(0.1)
            one.ask()
    world.settle(3.0)
    for _ in range(60):  # what one request needs comes back when little else is left
        while other.ask():
            pass
        world.settle(0.1)
    assert limit <= len(world.admitted) <= limit + first_part(limit, 2), "all that the first has not used"


def test_a_whole_limit_comes_within_a_moment_of_the_first_request() -> None:
    world = World(60, 3)
    process = world.processes[0]
    assert process.ask()
    world.settle(0.1)
    burst = [process.ask() for _ in range(59)]
    assert 5 <= sum(burst) < 59, "what is leased ahead"
    world.settle(0.1)
    assert [process.ask() for _ in range(60 - 1 - sum(burst))].count(False) == 0, "what was refused has been leased"
    assert not process.ask()


def test_nodes_that_are_used_evenly_refuse_nothing_well_below_the_limit() -> None:
    world = World(600, 3)
    refused = 0
    for number in range(1_000):
        refused += not world.processes[number % 3].ask()
        world.settle(0.1)
        world.now += 0.03  # 460 a minute
    assert refused == 0


def test_what_a_crashed_process_had_running_comes_back() -> None:
    world = World(4, 2)
    one, other = world.processes
    for _ in range(10):
        while one.enter():
            pass
        world.settle(0.1)
    assert one.running == 4
    world.processes = [other]
    other.enter()  # the first part
    world.settle(10.0)
    assert not other.enter()
    world.settle(8.0)
    for _ in range(10):
        while other.enter():
            pass
        world.settle(0.1)
    assert other.running == 4


def test_requests_at_once_are_those_of_all_nodes() -> None:
    world = World(30, 3)
    for _ in range(20):
        for process in world.processes:
            process.enter()
        world.settle(0.1)
    assert sum(process.running for process in world.processes) == 30
    for process in world.processes[:2]:
        while process.running:
            process.leave()
    last = world.processes[2]
    for _ in range(40):
        world.settle(0.1)
        while last.enter():
            pass
    assert last.running == 30


def test_without_the_server_each_node_takes_its_part() -> None:
    world = World(30, 3)
    for process in world.processes:
        process.ask()
    world.settle(0.2)
    for process in world.processes:
        process.exchange._scripts = None
        process.exchange._connect = _broken
    stopped = world.now
    for _ in range(400):
        for process in world.processes:
            process.ask()
            process.step()
        world.now += 0.5
    assert world.most_in_a_minute() <= 30 + 3 * first_part(30, 3)
    assert world.most_in_a_minute(stopped + 60) == 30, "ten each"
    assert [len(process.problems) for process in world.processes] == [1, 1, 1], "told once"
    for process in world.processes:
        process.exchange._connect = lambda: world.server
        process.exchange._scripts = None
    world.settle(1.0)
    assert [process.problems[1:] for process in world.processes] == [[None]] * 3
    began = world.now
    for _ in range(100):
        for process in world.processes:
            process.ask()
        world.settle(0.1)
    assert world.most_in_a_minute(began - 60) <= 30 + 3 * first_part(30, 3)


def _broken() -> object:
    from modelmux.store.base import StoreFailed

    raise StoreFailed("redis://example:6379/0: it cannot be reached")


def test_pauses_grow_while_the_server_fails() -> None:
    world = World(30, 1)
    (process,) = world.processes
    process.exchange._scripts, process.exchange._connect = None, _broken  # type: ignore[assignment]
    pauses = [process.step() for _ in range(12)]
    assert pauses[:3] == [0.1, 0.1, 0.2]
    assert pauses[-1] == 5.0
    assert pauses == sorted(pauses)


def test_one_limit_in_use_makes_few_calls_and_none_of_them_for_a_request() -> None:
    world, calls = World(600, 1), list[int]()
    (process,) = world.processes
    run = world.server.run

    async def counting(script: str, keys: list[str], arguments: list[object]) -> list[object]:
        calls.append(len(keys))
        return await run(script, keys, arguments)

    world.server.run = counting  # type: ignore[assignment]
    process.ask()
    world.settle(0.1)
    for _ in range(100):  # 10 seconds
        process.ask()
        world.settle(0.1)
    assert len(calls) < 30


def test_more_limits_than_one_exchange_takes_follow_at_once() -> None:
    world = World(60, 1)
    (process,) = world.processes
    for number in range(600):
        process.counters.counter(f"limit {number}", 1).seen(60, 1, int(world.now * 2))
    assert [process.step() for _ in range(3)] == [0.0, 0.0, 0.1]
    assert sum("p0" in leases for leases in world.server.leases.values()) == 600
    world.now += 3.0
    world.settle(3.0)
    assert sum("p0" in leases for leases in world.server.leases.values()) == 0, "all given back"
    assert not process.counters._counters
