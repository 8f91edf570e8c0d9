//! The command line.

use std::time::Duration;

pub(crate) const USAGE: &str =
    "usage: soak [--seconds N] [--events N] [--seed N] [--ceiling-mib N]";

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) duration: Duration,
    pub(crate) events: usize,
    pub(crate) seed: u64,
    pub(crate) ceiling: usize,
    /// Set in the processes that this program starts itself: a receiver, by its number.
    pub(crate) receiver: Option<usize>,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            duration: Duration::from_secs(60),
            events: 1_000_000,
            seed: 1,
            ceiling: 64 << 20,
            receiver: None,
        };
        while let Some(flag) = arguments.next() {
            let value = arguments.next().and_then(|text| text.parse::<u32>().ok());
            let value = value.ok_or_else(|| format!("{flag} needs a whole number"))?;
            match flag.as_str() {
                "--seconds" => options.duration = Duration::from_secs(u64::from(value.max(1))),
                "--events" => options.events = value.max(1) as usize,
                "--seed" => options.seed = value.into(),
                "--ceiling-mib" => options.ceiling = (value.clamp(1, 4096) as usize) << 20,
                "--receiver" => options.receiver = Some(value as usize),
                _ => return Err(format!("no such argument: {flag}")),
            }
        }
        Ok(options)
    }
}
