//! A `DATETIME(6)` of the ledger.

use std::time::{Duration, SystemTime};

use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    mysql::{Mysql, MysqlValue, data_types::MysqlTime},
    sql_types::Datetime,
};

/// An instant by the server's clock, which the ledger keeps in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, FromSqlRow)]
#[diesel(sql_type = Datetime)]
pub(crate) struct ServerTime(pub(crate) SystemTime);

impl FromSql<Datetime, Mysql> for ServerTime {
    #[allow(clippy::useless_conversion, reason = "microseconds are C's `unsigned long`: 32 bits on Windows")]
    fn from_sql(value: MysqlValue<'_>) -> deserialize::Result<Self> {
        let time = <MysqlTime as FromSql<Datetime, Mysql>>::from_sql(value)?;
        let days = days_since_1970(time.year.into(), time.month.into(), time.day.into());
        let seconds = (days * 24 + i64::from(time.hour)) * 3600 + i64::from(time.minute * 60 + time.second);
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let instant = match seconds {
            0.. => SystemTime::UNIX_EPOCH.checked_add(whole),
            _ => SystemTime::UNIX_EPOCH.checked_sub(whole),
        };
        let instant = instant.and_then(|i| i.checked_add(Duration::from_micros(time.second_part.into())));
        Ok(Self(instant.ok_or("a time that this operating system can't hold")?))
    }
}

/// Of the Gregorian calendar, which the server's `DATETIME` follows for all times.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const FROM_MARCH_0000_TO_1970: i64 = 719_468;
    // The leap day comes last in a year that begins in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - FROM_MARCH_0000_TO_1970
}

#[cfg(test)]
mod tests {
    use super::days_since_1970;

    #[test]
    fn days_are_counted_as_in_the_calendar() {
        for (date, days) in [
            ((1970, 1, 1), 0),
            ((1969, 12, 31), -1),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2038, 1, 19), 24_855),
            ((2100, 2, 28), 47_540),
            ((2100, 3, 1), 47_541),
            ((9999, 12, 31), 2_932_896),
        ] {
            assert_eq!(days_since_1970(date.0, date.1, date.2), days, "{date:?}");
        }
    }
}
