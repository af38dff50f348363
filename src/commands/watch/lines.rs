//! Prices as lines, for pipes: one for each message, with what happens to the stream on the side.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::follow::{News, Price, follow};
use super::{Options, WatchError};

/// Prints until it is refused, or nobody reads.
pub(super) async fn run(
    options: Options,
    out: &mut impl Write,
    told: &mut impl Write,
) -> Result<(), WatchError> {
    let (news, mut heard) = mpsc::channel(256);
    let mut following = JoinSet::new();
    following.spawn(follow(options, news));
    while let Some(news) = heard.recv().await {
        print(news, out, told)?;
        // What waits is printed with it, so that a pipe is not flushed for each line of a burst.
        while let Ok(news) = heard.try_recv() {
            print(news, out, told)?;
        }
        out.flush()?;
    }
    Ok(())
}

fn print(news: News, out: &mut impl Write, told: &mut impl Write) -> Result<(), WatchError> {
    match news {
        News::Price(price) => writeln!(out, "{}", line(&price))?,
        News::Open { rejected, .. } => {
            for name in rejected {
                writeln!(told, "tickcast watch: {name}")?;
            }
        }
        News::Notice(text) | News::Lost(text) => writeln!(told, "tickcast watch: {text}")?,
        News::Refused(why) => return Err(WatchError::Refused(why)),
    }
    Ok(())
}

/// Time, symbol, price, change, bid, ask, venue, status, in columns that stay where they are.
fn line(price: &Price) -> String {
    let Price { symbol, price: last, bid, ask, change_pct, venue, status, time, .. } = price;
    let time = time.and_then(|ms| u64::try_from(ms).ok()).map(|ms| UNIX_EPOCH + Duration::from_millis(ms));
    let time = time.map_or_else(|| "-".to_owned(), |at| humantime::format_rfc3339_millis(at).to_string());
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let change = change_pct.as_ref().map_or_else(|| "-".to_owned(), |change| signed(change));
    format!(
        "{time} {symbol:<10} {:>16} {change:>8} {:>16} {:>16} {:<10} {status}",
        or_dash(last),
        or_dash(bid),
        or_dash(ask),
        or_dash(venue)
    )
}

/// A change in percent, with its sign also where it is up.
pub(super) fn signed(change: &str) -> String {
    if change.starts_with('-') { format!("{change}%") } else { format!("+{change}%") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_line_whose_columns_stay_where_they_are() {
        let price = Price {
            symbol: "BTC".to_owned(),
            price: Some("67012.34".to_owned()),
            bid: Some("67012.33".to_owned()),
            change_pct: Some("1.23".to_owned()),
            venue: Some("kraken".to_owned()),
            status: "live".to_owned(),
            time: Some(1_764_039_600_101),
            ..Price::default()
        };
        let (mut out, mut told) = (Vec::new(), Vec::new());
        print(News::Price(Box::new(price.clone())), &mut out, &mut told).expect("printed");
        let none = Price { symbol: "AAPL".to_owned(), status: "stale".to_owned(), ..Price::default() };
        print(News::Price(Box::new(none)), &mut out, &mut told).expect("printed");
        print(News::Lost("the stream ended".to_owned()), &mut out, &mut told).expect("printed");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "2025-11-25T03:00:00.101Z BTC                67012.34   +1.23%         67012.33                - kraken     live\n\
             - AAPL                      -        -                -                - -          stale\n"
        );
        assert_eq!(told, b"tickcast watch: the stream ended\n");
        let refused = print(News::Refused("404: no".to_owned()), &mut Vec::new(), &mut Vec::new());
        assert!(matches!(refused, Err(WatchError::Refused(why)) if why == "404: no"));
    }
}
