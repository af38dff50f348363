//! `tickcast check`: the plan that a config makes, in words. Loading it and telling its mistakes is `main`'s.

use std::io::{self, Write};

use humantime::format_duration;
use tickcast_feeds::Venue;

use crate::catalogue::Catalogue;
use crate::config::{
    AuthMode, Bus, Class, Config, Forwarded, Instrument, Role, SignedBy, Sim, url_without_secrets,
};
use crate::ingest::plan;

/// Columns after which a list goes on in the next line.
const COLUMNS_MAX: usize = 100;

/// Prints which venues are on, with how many connections and which symbols on each, which are off though
/// instruments name them, and the limits.
pub fn run(config: &Config, catalogue: &Catalogue, out: &mut impl Write) -> io::Result<()> {
    if let Some(bus) = &config.bus {
        write_bus(bus, out)?;
        if bus.role == Role::Edge {
            return write_limits(config, out);
        }
    }
    let count = |class| catalogue.ids().filter(|id| catalogue.entry(*id).class == class).count();
    let (crypto, stock) = (count(Class::Crypto), count(Class::Stock));
    writeln!(out, "{} ({crypto} crypto, {stock} stock)", counted(catalogue.len(), "symbol"))?;
    if let Some(scenario) = config.feeds.sim.as_ref().and_then(Sim::playing) {
        let about = scenario.about();
        writeln!(
            out,
            "scenario {scenario}: the simulator plays what is on below, and nothing is connected to"
        )?;
        writeln!(out, "  {about}")?;
    }
    for venue in Venue::ALL.iter().copied() {
        match (config.feeds.is_on(venue), venue, &config.feeds.sim) {
            (false, ..) => write_off(catalogue, venue, out)?,
            (true, Venue::Sim, Some(sim)) => write_sim(catalogue, sim, out)?,
            (true, ..) => write_feed(config, catalogue, venue, out)?,
        }
    }
    write_limits(config, out)
}

fn write_bus(bus: &Bus, out: &mut impl Write) -> io::Result<()> {
    let (stream, servers) = (&bus.stream, bus.servers());
    match bus.role {
        Role::Edge => {
            writeln!(out, "edge: symbols and prices come over the bus, stream {stream} at {servers}")
        }
        Role::Ingest => writeln!(
            out,
            "ingest: one of these nodes at a time publishes, to stream {stream} at {servers} ({}, {:?}), each symbol at most every {}, {}",
            counted(bus.replicas, "replica"),
            bus.storage,
            format_duration(bus.interval),
            match bus.history {
                0 => "and no trades".to_owned(),
                history => format!("and {history} messages of its trades kept"),
            }
        ),
    }
}

fn write_feed(config: &Config, catalogue: &Catalogue, venue: Venue, out: &mut impl Write) -> io::Result<()> {
    let (Some(profile), Some(feed)) = (venue.profile(), config.feeds.feed(venue)) else { return Ok(()) };
    let wires = catalogue.wires(venue);
    if wires.is_empty() {
        return writeln!(out, "{venue}: on, yet no instrument names it; no connection");
    }
    let connections = plan::shares(profile, &wires);
    let urls = feed.urls(venue);
    let url = urls.first().map(String::as_str).unwrap_or_default();
    let silence_max = feed.silence_max.unwrap_or(profile.silence_max);
    writeln!(
        out,
        "{venue}: {} to {}, {}; reopened after {} without a tick",
        counted(connections.len(), "connection"),
        url_without_secrets(url),
        counted(wires.len(), "instrument"),
        format_duration(silence_max),
    )?;
    if let Some(proxy) = &feed.proxy {
        writeln!(out, "  through {proxy}")?;
    }
    for (index, wires) in connections.iter().enumerate() {
        write_list(&format!("  connection {}: ", index + 1), &names(catalogue, venue, wires), out)?;
    }
    Ok(())
}

fn write_sim(catalogue: &Catalogue, sim: &Sim, out: &mut impl Write) -> io::Result<()> {
    let wires = catalogue.wires(Venue::Sim);
    let (instruments, rate, seed) = (counted(wires.len(), "instrument"), sim.rate, sim.seed);
    writeln!(out, "sim: in this process, {instruments}, {rate} price changes per second each, seed {seed}")?;
    write_list("  simulated: ", &names(catalogue, Venue::Sim, &wires), out)
}

fn write_off(catalogue: &Catalogue, venue: Venue, out: &mut impl Write) -> io::Result<()> {
    let wires = catalogue.wires(venue);
    if wires.is_empty() {
        return writeln!(out, "{venue}: off");
    }
    writeln!(out, "{venue}: off, though it is a source of some; [feeds.{venue}] switches it on")?;
    write_list("  without it: ", &names(catalogue, venue, &wires), out)
}

fn write_limits(config: &Config, out: &mut impl Write) -> io::Result<()> {
    let (stream, limits) = (&config.stream, &config.limits);
    let most = |limit: Option<u32>| limit.map_or_else(|| "any number of".to_owned(), |most| most.to_string());
    writeln!(
        out,
        "a client: {} open streams, {} opened per minute, {} messages and {} bytes per second",
        limits.streams_per_client,
        limits.opens_per_minute,
        most(limits.messages_per_second),
        most(limits.bytes_per_second),
    )?;
    writeln!(
        out,
        "all clients: {} streams, {} connections accepted per second",
        limits.streams_total,
        most(limits.accepts_per_second),
    )?;
    writeln!(
        out,
        "a stream: {} symbols, a flush every {} (not below {}), cut after {} without reading",
        stream.symbols_max,
        format_duration(stream.throttle_default.max(stream.throttle_min)),
        format_duration(stream.throttle_min),
        format_duration(stream.stall_max),
    )?;
    write_auth(config, out)?;
    if let Some(record) = &config.record {
        let (dir, files, bytes) = (record.dir.display(), record.files_max, record.bytes_max);
        writeln!(out, "recorded to: {dir}, {} of {bytes} bytes for each venue", counted(files, "file"))?;
    }
    let tls = config.http.tls.as_ref();
    let secure = tls.map_or(String::new(), |tls| format!(" over TLS, certificate {}", tls.cert.display()));
    writeln!(out, "listen: {}{secure}", config.http.listen)?;
    if !config.http.trusted_proxies.is_empty() {
        let networks: Vec<String> = config.http.trusted_proxies.iter().map(ToString::to_string).collect();
        let by = match config.http.forwarded {
            Forwarded::XForwardedFor => "X-Forwarded-For",
            Forwarded::Standard => "Forwarded",
            Forwarded::ProxyProtocol => "the PROXY protocol, with which each of their connections begins",
        };
        writeln!(out, "  believed about their clients: {}, by {by}", networks.join(", "))?;
    }
    Ok(())
}

fn write_auth(config: &Config, out: &mut impl Write) -> io::Result<()> {
    let auth = &config.auth;
    match &auth.mode {
        AuthMode::None => writeln!(out, "credentials: none asked for")?,
        AuthMode::Keys(file) => {
            writeln!(out, "credentials: {} in {}", counted(file.keys.len(), "API key"), file.path.display())?;
        }
        AuthMode::Jwt(jwt) => match &jwt.signed_by {
            SignedBy::Jwks { path, keys } => {
                let keys = counted(keys.len(), "key");
                writeln!(out, "credentials: tokens signed by one of {keys} in {}", path.display())?;
            }
            SignedBy::Secret(_) | SignedBy::Nobody => {
                writeln!(out, "credentials: tokens signed with the secret")?;
            }
        },
    }
    if auth.mode != AuthMode::None {
        let anonymous = auth.anonymous.as_deref().unwrap_or("refused");
        writeln!(out, "  without one: {anonymous}")?;
        let bad = config.limits.bad_credentials_per_minute;
        writeln!(out, "  bad ones: {bad} per minute from one address")?;
        for plan in &config.plans {
            let operator = if plan.operator { ", operator" } else { "" };
            let is_in = |one: &&Instrument| plan.symbols.iter().any(|p| p.matches(&one.symbol, one.class));
            let symbols = config.instruments.iter().filter(is_in).count();
            writeln!(out, "  plan {}: {}{operator}", plan.name, counted(symbols, "symbol"))?;
        }
    }
    Ok(())
}

/// `BTC (BTC-USD)`: who wants it, and what the venue calls it.
fn names(catalogue: &Catalogue, venue: Venue, wires: &[&str]) -> Vec<String> {
    let name = |wire: &&str| {
        let symbols = catalogue.sources(venue, wire).iter();
        let symbols: Vec<&str> =
            symbols.map(|source| catalogue.entry(source.symbol).symbol.as_str()).collect();
        if symbols == [*wire] { (*wire).to_owned() } else { format!("{} ({wire})", symbols.join(" and ")) }
    };
    wires.iter().map(name).collect()
}

/// Writes a list with commas, its further lines as far in as its first.
fn write_list(label: &str, items: &[String], out: &mut impl Write) -> io::Result<()> {
    let mut line = label.to_owned();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            line.push(',');
            if line.len() + 2 + item.len() > COLUMNS_MAX {
                writeln!(out, "{line}")?;
                line = " ".repeat(label.len());
            } else {
                line.push(' ');
            }
        }
        line.push_str(item);
    }
    writeln!(out, "{line}")
}

/// `1 symbol`, `2 symbols`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn plan(text: &str) -> String {
        let config = config::load(text, "test.toml", std::iter::empty()).expect("the test's config is right");
        let catalogue = Catalogue::new(config.instruments.clone());
        let mut out = Vec::new();
        run(&config, &catalogue, &mut out).expect("a Vec takes everything");
        String::from_utf8(out).expect("the plan is text")
    }

    #[test]
    fn the_plan_names_connections_symbols_and_what_is_off() {
        let plan = plan(
            r#"
            [feeds.coinbase]
            url = "ws://127.0.0.1:9001/ws?token=abc"
            silence_max = "7s"
            proxy = "http://me:s3cret@proxy.example:3128"
            [record]
            dir = "recordings"
            [feeds.sim]
            generate = 30
            [[instrument]]
            symbol = "BTC"
            class = "crypto"
            sources = ["coinbase:BTC-USD", "kraken:BTC/USD"]
            [limits]
            messages_per_second = 50
            [http]
            trusted_proxies = ["10.0.0.0/8", "::1"]
            forwarded = "proxy-protocol"
            "#,
        );
        assert!(plan.starts_with("31 symbols (1 crypto, 30 stock)\n"), "{plan}");
        let connection =
            "coinbase: 1 connection to ws://127.0.0.1:9001/ws?***, 1 instrument; reopened after 7s";
        assert!(plan.contains(connection), "{plan}");
        assert!(plan.contains("\n  connection 1: BTC (BTC-USD)\n"), "{plan}");
        assert!(plan.contains("\nkraken: off, though it is a source of some"), "{plan}");
        assert!(plan.contains("\n  without it: BTC (BTC/USD)\n"), "{plan}");
        assert!(plan.contains("\nbinance: off\n"), "{plan}");
        assert!(plan.contains("\n  simulated: S000, S001, "), "{plan}");
        assert!(plan.contains(" 50 messages and any number of bytes per second\n"), "{plan}");
        let believed = "\n  believed about their clients: 10.0.0.0/8, ::1/128, by the PROXY protocol";
        assert!(plan.contains(believed), "{plan}");
        assert!(plan.lines().all(|line| line.len() <= COLUMNS_MAX + 20), "{plan}");
        assert!(plan.contains("\n  through http://proxy.example:3128\n"), "{plan}");
        assert!(
            plan.contains("\nrecorded to: recordings, 16 files of 268435456 bytes for each venue\n"),
            "{plan}"
        );
        assert!(!plan.contains("abc") && !plan.contains("s3cret"), "{plan}");
    }

    #[test]
    fn more_instruments_than_a_connection_takes_are_spread_over_several() {
        let max = Venue::Coinbase.profile().expect("coinbase has a profile").instruments_max;
        let instrument = |index: usize| {
            format!(
                "[[instrument]]\nsymbol = \"A{index}\"\nclass = \"crypto\"\nsources = [\"coinbase:A{index}-USD\"]\n"
            )
        };
        let instruments: String = (0..=max).map(instrument).collect();
        let plan = plan(&format!("{instruments}[feeds.coinbase]\n"));
        assert!(plan.contains("coinbase: 2 connections to "), "{plan}");
        assert!(plan.contains(&format!("\n  connection 2: A{max} (A{max}-USD)\n")), "{plan}");
    }
}
