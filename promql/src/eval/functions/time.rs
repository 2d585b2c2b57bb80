//! Parts of dates, in UTC.

const DAY_SECONDS: i64 = 86_400;

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

/// A day of the Gregorian calendar.
struct Date {
    year: i64,
    /// From 1.
    month: u8,
    /// From 1.
    day: u8,
}

impl Date {
    /// Of Unix time in seconds. A year is counted from March, so that the leap day is its last.
    fn of(seconds: i64) -> Self {
        // Days since 0000-03-01; 400 years have 146,097.
        let days = seconds.div_euclid(DAY_SECONDS) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: month as u8,
            day: (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8,
        }
    }
}

/// Days from 1970-01-01 to the first of a month.
fn days_before(year: i64, month: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
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
