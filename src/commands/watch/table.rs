//! The table in a terminal: what comes from the stream and from the keyboard, and when to draw.

use std::io;
use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt as _;
use ratatui::DefaultTerminal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::follow::{News, follow};
use super::list::List;
use super::screen::{Shown, draw};
use super::{Options, WatchError};
use crate::clock;

/// Between two drawings: as smooth as a terminal needs it, whatever the market does. Ages move too, so it is drawn anyway.
const FRAME: Duration = Duration::from_millis(80);

/// Shows the table until the user leaves or the service refuses.
pub(super) async fn run(options: Options) -> Result<(), WatchError> {
    let mut terminal = ratatui::try_init()?;
    let ended = show(&mut terminal, options).await;
    // The user's screen first; what went wrong is told on it.
    ratatui::restore();
    ended
}

async fn show(terminal: &mut DefaultTerminal, options: Options) -> Result<(), WatchError> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut keys = EventStream::new();
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut desk = Desk::new(options);
    loop {
        tokio::select! {
            Some(news) = desk.heard.recv() => {
                if let Some(why) = desk.list.take(news, clock::now().at) {
                    return Err(WatchError::Refused(why));
                }
            }
            event = keys.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                    if desk.press(key) == Next::Leave {
                        return Ok(());
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            },
            _ = frames.tick() => desk.draw(terminal)?,
            _ = terminated.recv() => return Ok(()),
        }
    }
}

/// Everything that a key can change.
struct Desk {
    options: Options,
    list: List,
    heard: mpsc::Receiver<News>,
    following: JoinSet<()>,
    chosen: usize,
    typed: Option<String>,
}

/// What comes after a key.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Stay,
    Leave,
}

impl Desk {
    fn new(options: Options) -> Self {
        let (_, heard) = mpsc::channel(1);
        let mut desk =
            Self { options, list: List::default(), heard, following: JoinSet::new(), chosen: 0, typed: None };
        desk.open();
        desk
    }

    /// Opens a stream of the symbols, in the place of the one before.
    fn open(&mut self) {
        self.following.abort_all();
        let (news, heard) = mpsc::channel(256);
        self.heard = heard;
        self.list.reopening();
        self.following.spawn(follow(self.options.clone(), news));
    }

    fn draw(&mut self, terminal: &mut DefaultTerminal) -> io::Result<()> {
        let shown = Shown {
            url: &self.options.url,
            typed: self.typed.as_deref(),
            chosen: self.chosen,
            now_ms: clock::wall().as_millis(),
            now: clock::now().at,
        };
        terminal.draw(|frame| draw(frame, &self.list, &shown)).map(drop)
    }

    fn press(&mut self, key: KeyEvent) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Next::Leave;
        }
        if let Some(typed) = &mut self.typed {
            match key.code {
                KeyCode::Char(letter) => typed.push(letter),
                KeyCode::Backspace => drop(typed.pop()),
                KeyCode::Esc => self.typed = None,
                KeyCode::Enter => {
                    let typed = std::mem::take(typed);
                    self.typed = None;
                    self.add(&typed);
                }
                _ => {}
            }
            return Next::Stay;
        }
        let last = self.list.rows().len().saturating_sub(1);
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Next::Leave,
            KeyCode::Char('a' | '/') => self.typed = Some(String::new()),
            KeyCode::Char('d') | KeyCode::Delete => self.remove(),
            KeyCode::Char('s') => self.list.order = self.list.order.next(),
            KeyCode::Char('r') => self.list.reversed = !self.list.reversed,
            KeyCode::Char(' ' | 'p') => self.list.pause_or_go_on(clock::now().at),
            KeyCode::Up | KeyCode::Char('k') => self.chosen = self.chosen.min(last).saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.chosen = (self.chosen + 1).min(last),
            KeyCode::Home => self.chosen = 0,
            KeyCode::End => self.chosen = last,
            _ => {}
        }
        Next::Stay
    }

    fn add(&mut self, typed: &str) {
        let before = self.options.symbols.len();
        for name in typed.split([',', ' ']).map(str::trim).filter(|name| !name.is_empty()) {
            if !self.options.symbols.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                self.options.symbols.push(name.to_owned());
            }
        }
        if self.options.symbols.len() > before {
            self.open();
        }
    }

    fn remove(&mut self) {
        let rows = self.list.rows();
        let Some(row) = rows.get(self.chosen.min(rows.len().saturating_sub(1))) else { return };
        let gone = row.price.symbol.clone();
        // By whatever names they were asked for: from now on, by what is left.
        let left: Vec<String> =
            rows.iter().map(|row| row.price.symbol.clone()).filter(|symbol| *symbol != gone).collect();
        if left.is_empty() {
            self.list.told = Some("the last one stays; q leaves".to_owned());
            return;
        }
        self.list.remove(&gone);
        self.options.symbols = left;
        self.open();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::watch::list::tests::price;

    fn desk() -> Desk {
        let mut desk = Desk::new(Options {
            symbols: vec!["btc".to_owned(), "ETH".to_owned()],
            // Nobody is there.
            url: "http://127.0.0.1:9".to_owned(),
            throttle: Duration::ZERO,
            key: None,
        });
        for symbol in ["BTC", "ETH"] {
            desk.list.take(price(symbol, "1", "", 0), clock::now().at);
        }
        desk
    }

    fn press(desk: &mut Desk, keys: &[KeyCode]) -> Next {
        keys.iter().map(|&code| desk.press(KeyEvent::new(code, KeyModifiers::NONE))).last().expect("a key")
    }

    #[tokio::test]
    async fn symbols_are_added_by_name_and_taken_out_by_row() {
        let mut desk = desk();
        let letters: Vec<KeyCode> = "asol,btc  q".chars().map(KeyCode::Char).collect();
        assert_eq!(press(&mut desk, &letters), Next::Stay, "a letter of a name is no command");
        press(&mut desk, &[KeyCode::Backspace, KeyCode::Enter]);
        assert_eq!((desk.options.symbols.join(" "), &desk.typed), ("btc ETH sol".to_owned(), &None));
        press(&mut desk, &[KeyCode::Down, KeyCode::Char('d')]);
        assert_eq!(desk.options.symbols, ["BTC"], "what has a row");
        press(&mut desk, &[KeyCode::Char('d')]);
        assert_eq!((desk.options.symbols.len(), desk.list.told.is_some()), (1, true), "the last one stays");
        press(&mut desk, &[KeyCode::Char('a'), KeyCode::Char('x'), KeyCode::Esc]);
        assert_eq!(desk.options.symbols, ["BTC"]);
        assert_eq!(press(&mut desk, &[KeyCode::Char('q')]), Next::Leave);
    }

    #[tokio::test]
    async fn keys_sort_turn_pause_and_leave() {
        let mut desk = desk();
        press(&mut desk, &[KeyCode::Char('s'), KeyCode::Char('r'), KeyCode::Char(' '), KeyCode::End]);
        assert_eq!(desk.list.order.name(), "by symbol");
        assert!(desk.list.reversed && desk.list.is_paused());
        assert_eq!(desk.chosen, 1);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        desk.typed = Some(String::new());
        assert_eq!(desk.press(interrupt), Next::Leave, "also while typing");
    }
}
