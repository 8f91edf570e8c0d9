//! The command line.

use std::time::Duration;

pub(crate) const USAGE: &str = "usage: storefront [--seconds N] [--keep] [--json]";

pub(crate) struct Options {
    pub(crate) open_for: Duration,
    pub(crate) keep: bool,
    pub(crate) json: bool,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            open_for: Duration::from_secs(10),
            keep: false,
            json: false,
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--keep" => options.keep = true,
                "--json" => options.json = true,
                "--seconds" => {
                    let seconds = arguments.next().and_then(|text| text.parse::<u32>().ok());
                    let seconds = seconds.ok_or("--seconds needs a whole number")?;
                    options.open_for = Duration::from_secs(seconds.into());
                }
                _ => return Err(format!("no such argument: {argument}")),
            }
        }
        Ok(options)
    }
}
