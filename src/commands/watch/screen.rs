//! How the list looks: a head that tells how the stream is, the table, and a line of help or of what is being typed.

use std::cmp::Ordering;
use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Row as TableRow, Table, TableState};

use super::lines::signed;
use super::list::{List, Row, State};

const HELP: &str = "a add  d remove  s sort  r reverse  space pause  q quit";

/// What is shown beside the list.
pub(super) struct Shown<'s> {
    /// Where the prices come from.
    pub(super) url: &'s str,
    /// What is being typed: names to add.
    pub(super) typed: Option<&'s str>,
    /// The chosen row.
    pub(super) chosen: usize,
    /// Milliseconds since the epoch, of this machine.
    pub(super) now_ms: i64,
    pub(super) now: Instant,
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, list: &List, shown: &Shown<'_>) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(2), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(headline(list, shown), head);
    table(frame, body, list, shown);
    frame.render_widget(footline(list, shown), foot);
}

fn headline<'l>(list: &'l List, shown: &Shown<'l>) -> Line<'l> {
    let state = match &list.state {
        State::Connecting => Span::styled("connecting", Color::Yellow),
        State::Live => Span::styled("live", Color::Green),
        State::Lost(why) => Span::styled(format!("reconnecting ({why})"), Color::Red),
    };
    let mut spans = vec!["tickcast ".bold(), Span::raw(shown.url), Span::raw("  "), state];
    if list.reconnects > 0 {
        spans.push(Span::raw(format!("  reconnects: {}", list.reconnects)));
    }
    spans.push(Span::raw(format!("  {}", list.order.name())));
    if list.reversed {
        spans.push(Span::raw(", reversed"));
    }
    if list.is_paused() {
        spans.push("  PAUSED".reversed());
    }
    Line::from(spans)
}

fn footline<'l>(list: &'l List, shown: &Shown<'l>) -> Line<'l> {
    match (shown.typed, &list.told) {
        (Some(typed), _) => Line::from(vec!["add: ".bold(), Span::raw(typed), "█".dim()]),
        (None, Some(told)) => {
            Line::from(vec![Span::styled(told.as_str(), Color::Yellow), Span::raw("  "), HELP.dim()])
        }
        (None, None) => Line::from(HELP.dim()),
    }
}

fn table(frame: &mut Frame<'_>, area: Rect, list: &List, shown: &Shown<'_>) {
    let head =
        ["symbol", "price", "change", "bid", "ask", "spread", "age", "source", "status", "last minutes"];
    let right = |place: usize| (1..=6).contains(&place);
    let cells = head.iter().enumerate().map(|(place, name)| {
        let line = Line::from(*name);
        Cell::from(if right(place) { line.right_aligned() } else { line })
    });
    let widths = [
        Constraint::Length(10),
        Constraint::Length(14),
        Constraint::Length(9),
        Constraint::Length(14),
        Constraint::Length(14),
        Constraint::Length(10),
        Constraint::Length(6),
        Constraint::Length(12),
        Constraint::Length(9),
        Constraint::Min(0),
    ];
    let rows = list.rows();
    let last = rows.len().saturating_sub(1);
    let rows = rows.into_iter().map(|row| cells_of(row, shown));
    let table = Table::new(rows, widths)
        .header(TableRow::new(cells).style(Style::new().add_modifier(Modifier::UNDERLINED)))
        .row_highlight_style(Style::new().add_modifier(Modifier::BOLD))
        .highlight_symbol("> ");
    let mut state = TableState::new().with_selected(Some(shown.chosen.min(last)));
    frame.render_stateful_widget(table, area, &mut state);
}

fn cells_of<'l>(row: &'l Row, shown: &Shown<'_>) -> TableRow<'l> {
    let price = &row.price;
    let right = |text: &'l Option<String>| Line::from(text.as_deref().unwrap_or("-")).right_aligned();
    let way = |way: Ordering| if way == Ordering::Less { Color::Red } else { Color::Green };
    let flash = match row.flash(shown.now) {
        Some(moved) => Style::new().fg(Color::Black).bg(way(moved)),
        None => Style::new(),
    };
    let change = match price.change_pct.as_deref() {
        None => Line::from("-"),
        Some(change) if change.starts_with('-') => Line::styled(signed(change), Color::Red),
        Some(change) => Line::styled(signed(change), Color::Green),
    };
    let status = match price.status.as_str() {
        "live" => Span::raw("live"),
        // Unmistakable, also where there is no colour.
        other => Span::styled(other, Style::new().fg(Color::Yellow).add_modifier(Modifier::REVERSED)),
    };
    let is_current = matches!(price.status.as_str(), "live" | "degraded");
    let style = if is_current { Style::new() } else { Style::new().add_modifier(Modifier::DIM) };
    TableRow::new([
        Cell::from(price.symbol.as_str()),
        Cell::from(right(&price.price)).style(flash),
        Cell::from(change.right_aligned()),
        Cell::from(right(&price.bid)),
        Cell::from(right(&price.ask)),
        Cell::from(right(&price.spread)),
        Cell::from(Line::from(age(price.time, shown.now_ms)).right_aligned()),
        Cell::from(price.venue.as_deref().unwrap_or("-")),
        Cell::from(status),
        Cell::from(row.spark()),
    ])
    .style(style)
}

/// How old a price is by its venue's clock and ours: `0.3s`, `12s`, `4m`, `2h`.
fn age(time: Option<i64>, now_ms: i64) -> String {
    let Some(time) = time else { return "-".to_owned() };
    let ms = now_ms.saturating_sub(time).max(0);
    match ms / 1000 {
        0..10 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        seconds @ 10..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds => format!("{}h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::clock;
    use crate::commands::watch::follow::{News, Price};
    use crate::commands::watch::list::tests::price;

    fn drawn(list: &List, typed: Option<&str>, now: Instant) -> Terminal<TestBackend> {
        let mut terminal = Terminal::new(TestBackend::new(124, 6)).expect("no terminal to fail");
        let shown = Shown { url: "http://x", typed, chosen: 1, now_ms: 15_000, now };
        terminal.draw(|frame| draw(frame, list, &shown)).expect("drawn");
        terminal
    }

    #[test]
    fn the_table_shows_each_symbols_state_and_marks_what_is_not_current() {
        let now = clock::now().at;
        let mut list = List::default();
        list.take(News::Open { resumed: false, rejected: Vec::new() }, now);
        list.take(price("BTC", "100.10", "-1.50", 14_700), now);
        list.take(price("BTC", "100.20", "1.50", 14_700), now);
        let stale = Price {
            symbol: "AAPL".to_owned(),
            price: Some("7".to_owned()),
            spread: Some("0.02".to_owned()),
            venue: Some("alpaca".to_owned()),
            status: "stale".to_owned(),
            time: Some(0),
            ..Price::default()
        };
        list.take(News::Price(Box::new(stale)), now);
        let terminal = drawn(&list, None, now);
        let lines: Vec<String> = terminal
            .backend()
            .to_string()
            .lines()
            .map(|line| line.trim_matches('"').trim_end().to_owned())
            .collect();
        assert_eq!(lines[0], "tickcast http://x  live  as asked");
        assert!(lines[1].contains("symbol") && lines[1].ends_with("last minutes"), "{}", lines[1]);
        let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(2), "BTC 100.20 +1.50% - - - 0.3s - live ▄");
        assert_eq!(words(3), "> AAPL 7 - - - 0.02 15s alpaca stale ▄");
        assert_eq!(words(5), HELP.split_whitespace().collect::<Vec<_>>().join(" "));
        // The moved price stands on a colour for a moment; a stale row is dim and its status turned round.
        let cell = |text: &str, line: u16| {
            let row: String = lines[usize::from(line)].clone();
            let x = row.find(text).map(|at| row[..at].chars().count()).expect(text);
            terminal.backend().buffer()[(u16::try_from(x).expect("on screen"), line)].clone()
        };
        assert_eq!(cell("100.20", 2).bg, Color::Green);
        assert!(cell("stale", 3).modifier.contains(Modifier::REVERSED | Modifier::DIM));
        assert!(cell("AAPL", 3).modifier.contains(Modifier::BOLD), "the chosen one");
    }

    #[test]
    fn the_head_and_the_foot_tell_what_happens() {
        let now = clock::now().at;
        let mut list = List::default();
        list.take(News::Notice("new: SOL".to_owned()), now);
        list.take(News::Lost("draining".to_owned()), now);
        list.pause_or_go_on(now);
        list.reversed = true;
        list.reconnects = 2;
        let text = drawn(&list, None, now).backend().to_string();
        assert!(
            text.contains("reconnecting (draining)  reconnects: 2  as asked, reversed  PAUSED"),
            "{text}"
        );
        assert!(text.contains("new: SOL  a add"), "{text}");
        assert!(drawn(&list, Some("ETH,s"), now).backend().to_string().contains("add: ETH,s█"));
    }

    #[test]
    fn an_age_takes_few_characters() {
        let ages = [0, 349, 9_999, 10_000, 119_999, 120_000, 7_199_999, 7_200_000, 90_000_000];
        let ages = ages.map(|ms| age(Some(0), ms)).join(" ");
        assert_eq!(ages, "0.0s 0.3s 9.9s 10s 119s 2m 119m 2h 25h");
        assert_eq!((age(Some(5_000), 0).as_str(), age(None, 0).as_str()), ("0.0s", "-"), "clocks differ");
    }
}
