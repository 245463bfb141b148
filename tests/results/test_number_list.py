import pytest

from usseg.pipeline.errors import ParamsError
from usseg.results.number_list import numbers_of, written


@pytest.mark.parametrize(
    ("text", "numbers", "back"),
    [
        ("0-4", (0, 1, 2, 3, 4), "0-4"),
        ("0,3,7", (0, 3, 7), "0, 3, 7"),
        ("7, 0-2", (7, 0, 1, 2), "7, 0-2"),
        ("5", (5,), "5"),
        ("5-5", (5,), "5"),
        ("9,8", (9, 8), "9, 8"),
    ],
)
def test_numbers_and_ranges(text: str, numbers: tuple[int, ...], back: str) -> None:
    assert numbers_of(text, option="--seeds", low=0, high=9) == numbers
    assert written(numbers) == back
    assert numbers_of(back, option="--seeds", low=0, high=9) == numbers


@pytest.mark.parametrize("text", ["", ",", "4-0", "a", "1-", "-1", "1.5", "0-4-6", "10", "0-10", "1,,2", "٣", "9" * 50])
def test_another_text_is_one_line(text: str) -> None:
    with pytest.raises(
        ParamsError, match=r"^--seeds: found '.*; numbers from 0 to 9 are needed, as a range such as 3-6"
    ):
        numbers_of(text, option="--seeds", low=0, high=9)


@pytest.mark.parametrize("text", ["1,1", "0-4,2"])
def test_a_repeated_number_is_refused(text: str) -> None:
    with pytest.raises(ParamsError, match=r"^--k: found [12] twice; give every number once$"):
        numbers_of(text, option="--k", low=0, high=9)


@pytest.mark.parametrize("text", ["0-999999999", "0-999,1000", "0-1000"])
def test_too_many_numbers_are_refused(text: str) -> None:
    with pytest.raises(ParamsError, match=r"^--seeds: found more than 1000 numbers; give fewer$"):
        numbers_of(text, option="--seeds", low=0, high=1_000_000_000)


def test_a_thousand_numbers_are_allowed() -> None:
    assert len(numbers_of("0-999", option="--seeds", low=0, high=1_000_000_000)) == 1000
