//! Parts of dates, in UTC.

use crate::date::{DAY_SECONDS, Date, days_before};

pub(super) fn find(name: &str) -> Option<fn(i64) -> f64> {
    Some(match name {
        "day_of_month" => |seconds| f64::from(Date::of(seconds).day),
        "day_of_week" => |seconds| (seconds.div_euclid(DAY_SECONDS) + 4).rem_euclid(7) as f64,
        "day_of_year" => |seconds| {
            let year = Date::of(seconds).year;
            (seconds.div_euclid(DAY_SECONDS) - days_before(year, 1)) as f64 + 1.0
        },
        "days_in_month" => |seconds| {
            let Date { year, month, .. } = Date::of(seconds);
            let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            (days_before(next_year, next_month) - days_before(year, month)) as f64
        },
        "hour" => |seconds| (seconds.rem_euclid(DAY_SECONDS) / 3600) as f64,
        "minute" => |seconds| (seconds.rem_euclid(3600) / 60) as f64,
        "month" => |seconds| f64::from(Date::of(seconds).month),
        "year" => |seconds| Date::of(seconds).year as f64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    fn part(name: &str, seconds: i64) -> i64 {
        super::find(name).expect(name)(seconds) as i64
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        // 2024-02-29T12:34:56Z, a Thursday.
        let leap = 1_709_210_096;
        let parts = [
            "year",
            "month",
            "day_of_month",
            "hour",
            "minute",
            "day_of_week",
            "day_of_year",
            "days_in_month",
        ];
        assert_eq!(parts.map(|name| part(name, leap)), [2024, 2, 29, 12, 34, 4, 60, 29]);
        // 1969-12-31T23:59:59Z, a Wednesday.
        assert_eq!(parts.map(|name| part(name, -1)), [1969, 12, 31, 23, 59, 3, 365, 31]);
    }

    #[test]
    fn every_day_follows_the_one_before() {
        for year in [1900, 1970, 2000, 2023, 2024, 2100] {
            for month in 1..=12 {
                let date = super::Date::of(super::days_before(year, month) * super::DAY_SECONDS);
                assert_eq!((date.year, date.month, date.day), (year, month, 1));
            }
        }
    }
}
