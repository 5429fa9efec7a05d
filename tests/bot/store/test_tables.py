"""Times keep their zone on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from bot.store.tables import Utc, metadata

DIALECTS = [sqlite.dialect(), postgresql.dialect()]
ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
# Not at the very ends of the calendar, where another zone has no name for the time.
TIMES = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=ZONES)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(time=TIMES)
def test_a_time_comes_back_as_the_same_moment_in_utc(dialect, time: datetime) -> None:
    back = Utc().process_result_value(Utc().process_bind_param(time, dialect), dialect)
    assert back == time
    assert back.tzinfo is UTC


@given(TIMES, TIMES)
def test_sqlite_compares_what_it_stores_as_the_moments_compare(one: datetime, other: datetime) -> None:
    first, second = (Utc().process_bind_param(time, DIALECTS[0]) for time in (one, other))
    assert first is not None
    assert second is not None
    assert (first < second) == (one < other)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_time_without_a_zone_is_refused_and_no_time_stays_none(dialect) -> None:
    with pytest.raises(ValueError, match="without a zone"):
        Utc().process_bind_param(datetime(2024, 5, 1), dialect)
    assert Utc().process_bind_param(None, dialect) is None
    assert Utc().process_result_value(None, dialect) is None


def test_ids_of_deleted_rows_are_not_reused() -> None:
    counted = [table for table in metadata.sorted_tables if table.autoincrement_column is not None]
    assert {table.name for table in counted} >= {"jobs", "check_runs", "deliveries", "screenings"}
    for table in counted:
        assert table.dialect_options["sqlite"]["autoincrement"], table.name
