"""Pages wait for no slow database: what is kept is shown, with its age, or that it is read."""

from __future__ import annotations

import asyncio

import pytest

from serving.gateway.console.kept import Kept

LONG_S = 300.0


def test_figures_that_take_long_are_waited_for_in_the_background() -> None:
    async def story() -> None:
        kept, may_end, asked = Kept[int](LONG_S, wait_s=0), asyncio.Event(), []

        async def read() -> int:
            asked.append(1)
            await may_end.wait()
            return 7

        pages = await asyncio.gather(*(kept.read(read) for _ in range(3)))
        assert [(page.value, page.reading) for page in pages] == [(None, True)] * 3
        may_end.set()
        while (page := await kept.read(read)).value is None:
            pass
        assert (page.value, page.reading, len(asked)) == (7, False, 1)
        assert 0 <= page.age_s < LONG_S
        assert (await kept.read(read)).value == 7 and len(asked) == 1

    asyncio.run(story())


def test_what_is_too_old_is_shown_while_it_is_read_again() -> None:
    async def story() -> None:
        kept = Kept[int](0.0, wait_s=LONG_S)
        numbers = iter(range(10))
        stuck = asyncio.Event()

        async def read() -> int:
            return next(numbers)

        async def hang() -> int:
            await stuck.wait()
            return 99

        assert [(await kept.read(read)).value for _ in range(2)] == [0, 1]
        kept._wait_s = 0
        page = await kept.read(hang)
        assert (page.value, page.reading) == (1, True) and page.age_s > 0
        stuck.set()
        while (await kept.read(hang)).value != 99:
            pass

    asyncio.run(story())


def test_a_failure_is_told_once_and_then_it_is_tried_again() -> None:
    async def story() -> None:
        kept = Kept[int](LONG_S, wait_s=LONG_S)

        async def fail() -> int:
            raise OSError("the disk is gone")

        async def read() -> int:
            return 1

        with pytest.raises(OSError, match="the disk is gone"):
            await kept.read(fail)
        assert (await kept.read(read)).value == 1

    asyncio.run(story())
