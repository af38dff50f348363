//! Bad days by name: what happens when. Only the timetables; whom it strikes and how is [`Play`](super::Play)'s.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A day that goes wrong, played over and over so that whoever looks sees it come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scenario {
    /// Some prices fall by a tenth within seconds, on wide spreads, and most of it comes back.
    FlashCrash,
    /// A stock is halted and resumes.
    Halt,
    /// Every feed goes silent, is not to be reached for a while, and comes back.
    Outage,
    /// One venue prints 5 % beside all others.
    BadPrint,
    /// One venue's connection is lost again and again.
    ReconnectStorm,
    /// Tens of thousands of ticks within a second.
    Burst,
    /// The stocks' day goes on to post-market, night and pre-market trading.
    MarketClose,
}

/// One stretch of a timetable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Its name in logs.
    pub name: &'static str,
    /// How long it lasts.
    pub lasts: Duration,
}

/// Where a scenario is in its timetable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scene {
    /// The phase.
    pub phase: Phase,
    /// How often the timetable has been played through.
    pub round: u64,
    /// Since when this phase is on.
    pub elapsed: Duration,
}

/// A text that names no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {}", names().join(", "))]
pub struct NotAScenario;

const fn phase(name: &'static str, seconds: u64) -> Phase {
    Phase { name, lasts: Duration::from_secs(seconds) }
}

impl Scenario {
    /// Every scenario.
    pub const ALL: &'static [Self] = &[
        Self::FlashCrash,
        Self::Halt,
        Self::Outage,
        Self::BadPrint,
        Self::ReconnectStorm,
        Self::Burst,
        Self::MarketClose,
    ];

    /// The name used in config, arguments and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FlashCrash => "flash_crash",
            Self::Halt => "halt",
            Self::Outage => "outage",
            Self::BadPrint => "bad_print",
            Self::ReconnectStorm => "reconnect_storm",
            Self::Burst => "burst",
            Self::MarketClose => "market_close",
        }
    }

    /// What is to be seen, in one line.
    pub const fn about(self) -> &'static str {
        match self {
            Self::FlashCrash => {
                "Every other instrument falls by a tenth in 5 s, on wide spreads, and recovers most of it"
            }
            Self::Halt => "The first stock is halted for 30 s: `halted`, never `stale`",
            Self::Outage => {
                "Every feed goes silent, then cannot be reached, then comes back: 40 s of `stale`"
            }
            Self::BadPrint => "One venue prints 5 % too high for 10 s: an outlier to every `median`",
            Self::ReconnectStorm => "One venue's connection is lost every 5 s, for 45 s",
            Self::Burst => "50,000 ticks a second for 2 s: streams conflate, nothing is lost",
            Self::MarketClose => {
                "Stocks go from open to post, closed and pre: quiet is then `closed`, not `stale`"
            }
        }
    }

    /// The timetable; after its end it begins again.
    pub const fn phases(self) -> &'static [Phase] {
        const CALM: Phase = phase("calm", 20);
        match self {
            Self::FlashCrash => {
                const {
                    &[
                        CALM,
                        phase("fall", 5),
                        phase("bottom", 5),
                        phase("recovery", 20),
                        phase("settling", 20),
                    ]
                }
            }
            Self::Halt => const { &[CALM, phase("halted", 30)] },
            Self::Outage => {
                const { &[CALM, phase("silent", 20), phase("unreachable", 20), phase("back", 20)] }
            }
            Self::BadPrint => const { &[CALM, phase("bad print", 10)] },
            Self::ReconnectStorm => const { &[CALM, phase("storm", 45), phase("back", 20)] },
            Self::Burst => const { &[phase("calm", 8), phase("burst", 2), CALM] },
            Self::MarketClose => {
                const { &[phase("open", 20), phase("post", 15), phase("closed", 30), phase("pre", 15)] }
            }
        }
    }

    /// Where the timetable is after so long.
    pub fn at(self, elapsed: Duration) -> Scene {
        let phases = self.phases();
        let lasts = |phases: &[Phase]| phases.iter().map(|phase| phase.lasts).sum::<Duration>();
        let length = lasts(phases).as_nanos();
        let round = elapsed.as_nanos() / length;
        let mut rest = nanos(elapsed.as_nanos() % length);
        let (last, others) = phases.split_last().expect("no timetable is empty");
        for phase in others {
            if rest < phase.lasts {
                return Scene {
                    phase: *phase,
                    round: u64::try_from(round).unwrap_or(u64::MAX),
                    elapsed: rest,
                };
            }
            rest -= phase.lasts;
        }
        Scene { phase: *last, round: u64::try_from(round).unwrap_or(u64::MAX), elapsed: rest }
    }
}

impl Scene {
    /// How much of the phase is over, in millionths.
    pub(super) fn done(&self) -> i64 {
        let done = self.elapsed.as_nanos() * 1_000_000 / self.phase.lasts.as_nanos().max(1);
        i64::try_from(done).unwrap_or(1_000_000)
    }
}

fn names() -> Vec<&'static str> {
    Scenario::ALL.iter().map(|scenario| scenario.name()).collect()
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scenario {
    type Err = NotAScenario;

    fn from_str(text: &str) -> Result<Self, NotAScenario> {
        Self::ALL.iter().copied().find(|scenario| scenario.name() == text).ok_or(NotAScenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timetable_comes_round() {
        let at = |seconds| Scenario::Halt.at(Duration::from_secs(seconds));
        assert_eq!((at(0).phase.name, at(0).round), ("calm", 0));
        assert_eq!((at(20).phase.name, at(20).elapsed, at(49).round), ("halted", Duration::ZERO, 0));
        assert_eq!((at(50).phase.name, at(50).round, at(73).phase.name), ("calm", 1, "halted"));
        assert_eq!(at(35).done(), 500_000);
        // After any time there is a phase.
        for &scenario in Scenario::ALL {
            assert!(scenario.at(Duration::MAX).round > 0);
            assert_eq!(scenario.at(Duration::ZERO).phase, scenario.phases()[0]);
        }
    }

    #[test]
    fn a_name_means_its_scenario_and_an_unknown_one_tells_all() {
        for &scenario in Scenario::ALL {
            assert_eq!(scenario.name().parse(), Ok(scenario));
        }
        let error = "crash".parse::<Scenario>().expect_err("no such scenario");
        assert_eq!(
            error.to_string(),
            "expected one of flash_crash, halt, outage, bad_print, reconnect_storm, burst, market_close"
        );
    }
}
