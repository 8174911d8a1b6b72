"""Seeds from the command line: a number, a range, and how many that makes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toydiff.cli.options import parse_seeds
from toydiff.errors import ConfigurationError

MOST = 10_000_000


@given(st.integers(0, 2**62 - 1 - MOST), st.integers(1, MOST))
def test_a_range_holds_its_ends_and_all_between(first: int, count: int) -> None:
    last = first + count - 1
    assert parse_seeds(f"{first}-{last}", None) == parse_seeds(f"{first}-{last}", count) == (first, count)
    assert parse_seeds(str(first), count) == parse_seeds(f"{first:019}", count) == (first, count)
    assert parse_seeds(str(first), None) == (first, None)
    with pytest.raises(ConfigurationError):
        parse_seeds(f"{first}-{last}", count + 1)
    if count > 1:
        with pytest.raises(ConfigurationError, match="neither a seed nor a range"):
            parse_seeds(f"{last}-{first}", None)


@given(st.text(max_size=12) | st.from_regex(r"[-+0-9 _.,e]{0,45}", fullmatch=True), st.none() | st.integers())
def test_any_other_text_is_refused_in_our_words(text: str, n: int | None) -> None:
    try:
        first, count = parse_seeds(text, n)
    except ConfigurationError as error:
        assert error.message.isprintable() and error.hint
    else:
        assert 0 <= first < 2**62 and (count is None or 1 <= count <= MOST)
        assert text.strip("0123456789-") == ""


def test_no_seed_is_the_first() -> None:
    assert parse_seeds(None, None) == (0, None) and parse_seeds(None, 5) == (0, 5)
    assert parse_seeds(str(2**62 - 1), 1)[0] == 2**62 - 1
    for beyond in (str(2**62), "9" * 19, "9" * 5000, f"0-{MOST}", "0-4611686018427387903"):
        with pytest.raises(ConfigurationError):
            parse_seeds(beyond, None)
