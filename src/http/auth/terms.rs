//! What a client may have: a plan of the config, laid over the limits that hold for all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;

use crate::catalogue::Entry;
use crate::config::{self, Config, SymbolPattern};
use crate::http::limits::Allowance;

/// What a plan comes to.
#[derive(Debug, PartialEq, Eq)]
pub struct Terms {
    /// The plan; `None` for who has none.
    pub name: Option<Arc<str>>,
    /// What it says to streams opened, open, and to messages.
    pub allowance: Allowance,
    /// What a wish for a throttle is raised to, the default with it.
    pub throttle_min: Duration,
    /// Symbols on one stream.
    pub symbols_max: usize,
    /// Whether `/feeds` and `/metrics` may be read.
    pub operator: bool,
    /// `None` is every symbol.
    symbols: Option<Among>,
}

/// Some symbols, those that will be added included.
#[derive(Debug, PartialEq, Eq)]
struct Among {
    /// By their whole names: a plan may list many.
    names: FxHashSet<String>,
    patterns: Vec<SymbolPattern>,
}

impl Terms {
    /// Whether the symbol may be followed.
    pub fn allows(&self, symbol: &Entry) -> bool {
        self.symbols.as_ref().is_none_or(|among| among.has(symbol))
    }
}

impl Among {
    fn of(patterns: &[SymbolPattern]) -> Self {
        let mut among = Self { names: FxHashSet::default(), patterns: Vec::new() };
        for pattern in patterns {
            match pattern {
                SymbolPattern::Name(name) if !name.contains('*') => drop(among.names.insert(name.clone())),
                _ => among.patterns.push(pattern.clone()),
            }
        }
        among
    }

    fn has(&self, symbol: &Entry) -> bool {
        self.names.contains(&symbol.symbol)
            || self.patterns.iter().any(|pattern| pattern.matches(&symbol.symbol, symbol.class))
    }
}

/// All plans.
#[derive(Debug)]
pub(super) struct Plans {
    by_name: HashMap<String, Arc<Terms>>,
    /// Of who has no plan.
    unnamed: Arc<Terms>,
    /// Of whose credential names none.
    default: Arc<Terms>,
}

impl Plans {
    pub(super) fn new(config: &Config) -> Self {
        let unnamed = Arc::new(Terms {
            name: None,
            allowance: Allowance::of(&config.limits),
            throttle_min: config.stream.throttle_min,
            symbols_max: config.stream.symbols_max,
            operator: false,
            symbols: None,
        });
        let compile = |plan: &config::Plan| (plan.name.clone(), Arc::new(terms(plan, &unnamed)));
        let by_name: HashMap<_, _> = config.plans.iter().map(compile).collect();
        let default = config.auth.plan.as_ref().and_then(|name| by_name.get(name)).unwrap_or(&unnamed);
        let default = Arc::clone(default);
        Self { by_name, unnamed, default }
    }

    /// The plan of a credential. `None` where it names one that there is not.
    pub(super) fn find(&self, name: Option<&str>) -> Option<&Arc<Terms>> {
        name.map_or(Some(&self.default), |name| self.by_name.get(name))
    }

    pub(super) fn unnamed(&self) -> &Arc<Terms> {
        &self.unnamed
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.by_name.keys().cloned().collect()
    }
}

fn terms(plan: &config::Plan, all: &Terms) -> Terms {
    let is_all = |pattern: &SymbolPattern| *pattern == SymbolPattern::Name("*".to_owned());
    let Allowance { streams_per_client, opens_per_minute, messages_per_second, bytes_per_second } =
        all.allowance;
    Terms {
        name: Some(plan.name.as_str().into()),
        allowance: Allowance {
            streams_per_client: plan.streams_per_client.unwrap_or(streams_per_client),
            opens_per_minute: plan.opens_per_minute.unwrap_or(opens_per_minute),
            messages_per_second: plan.messages_per_second.or(messages_per_second),
            bytes_per_second: plan.bytes_per_second.or(bytes_per_second),
        },
        // The node's own floor and ceiling are there to protect it: a plan narrows them only.
        throttle_min: plan.throttle_min.unwrap_or_default().max(all.throttle_min),
        symbols_max: plan.symbols_max.unwrap_or(all.symbols_max).min(all.symbols_max),
        operator: plan.operator,
        symbols: (!plan.symbols.iter().any(is_all)).then(|| Among::of(&plan.symbols)),
    }
}
