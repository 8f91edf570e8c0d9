//! `--name value` from the command line.

use std::fmt::Debug;
use std::str::FromStr;

/// The value after `--name`.
///
/// # Panics
///
/// If the value is not what is wanted: a measurement of something else helps nobody.
pub fn value<T: FromStr<Err: Debug>>(name: &str) -> Option<T> {
    let key = format!("--{name}");
    let mut args = std::env::args().skip_while(|arg| *arg != key);
    args.next()?;
    let text = args.next().unwrap_or_default();
    Some(
        text.parse()
            .unwrap_or_else(|e| panic!("--{name} {text}: {e:?}")),
    )
}

/// The value after `--name`, or the default.
pub fn value_or<T: FromStr<Err: Debug>>(name: &str, default: T) -> T {
    value(name).unwrap_or(default)
}

/// Whether `--name` was given.
pub fn given(name: &str) -> bool {
    let key = format!("--{name}");
    std::env::args().any(|arg| arg == key)
}

/// The comma-separated names after `--name`; none means all.
pub fn names(name: &str) -> Vec<String> {
    let list: String = value_or(name, String::new());
    list.split(',')
        .filter(|one| !one.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Whether `name` is among the comma-separated ones after `--option`, by a part of it, or none is given.
pub fn chosen(option: &str, name: &str) -> bool {
    let names = names(option);
    names.is_empty() || names.iter().any(|part| name.contains(part.as_str()))
}
