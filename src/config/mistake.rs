//! What is wrong with a config: each mistake with its place, so that an operator mends all of them in one go.

use std::fmt;

/// Mistakes listed; what is beyond is only counted.
const LISTED_MAX: usize = 100;

/// Where a mistake was made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The line in the file, from 1.
    Line(usize),
    /// The name of an environment variable.
    Variable(String),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it was made.
    pub place: Place,
    /// The table and key, such as `[http] listen`; empty where the whole file is meant.
    pub key: String,
    /// What is wrong and what would work.
    pub problem: String,
}

/// Everything that is wrong with a config, in order of place: the file's lines, then the environment's variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    origin: String,
    listed: Vec<Mistake>,
    unlisted: usize,
}

impl Mistakes {
    /// None yet. `origin` is what the file is called in the lines printed.
    pub(super) fn new(origin: &str) -> Self {
        Self { origin: origin.to_owned(), listed: Vec::new(), unlisted: 0 }
    }

    pub(super) fn add(&mut self, place: &Place, key: impl Into<String>, problem: impl Into<String>) {
        let (key, problem) = (key.into(), problem.into());
        // What several tables have from one variable is one mistake.
        let is_known =
            |known: &Mistake| known.place == *place && known.key == key && known.problem == problem;
        if matches!(place, Place::Variable(_)) && self.listed.iter().any(is_known) {
            return;
        }
        if self.listed.len() == LISTED_MAX {
            self.unlisted += 1;
            return;
        }
        self.listed.push(Mistake { place: place.clone(), key, problem });
    }

    /// Turns an outcome into an error if anything was wrong on the way to it.
    pub(super) fn or<T>(mut self, value: T) -> Result<T, Self> {
        if self.listed.is_empty() {
            return Ok(value);
        }
        self.listed.sort_by(|a, b| a.place.cmp(&b.place));
        Err(self)
    }

    /// The mistakes, at most 100 of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.listed.iter()
    }

    /// How many there are in all.
    pub fn count(&self) -> usize {
        self.listed.len() + self.unlisted
    }
}

impl<'m> IntoIterator for &'m Mistakes {
    type Item = &'m Mistake;
    type IntoIter = std::slice::Iter<'m, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One line per mistake: `config/tickcast.toml:12: [http] listen: ...`.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.listed.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match &mistake.place {
                Place::Line(line) => write!(f, "{}:{line}: ", self.origin)?,
                Place::Variable(name) => write!(f, "{name}: ")?,
            }
            if !mistake.key.is_empty() {
                write!(f, "{}: ", mistake.key)?;
            }
            f.write_str(&mistake.problem)?;
        }
        if self.unlisted > 0 {
            write!(f, "\n{}: and {} more", self.origin, self.unlisted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
