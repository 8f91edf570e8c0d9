//! The command line of the `productgraph-collector` program.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use productgraph_collector::{Collector, CollectorBuilder, FaultPlan, Generation, Rule};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
A local receiver that behaves like the ProductGraph ingestion service.

usage: productgraph-collector [FLAGS]

  --port N                port to listen on; 0 takes a free one (8080)
  --host IP               address to listen on (127.0.0.1)
  --allow-remote          permit an address other than a loopback one; whoever reaches
                          it can read the events and command faults
  --generation v0.2|v0.3  tenant key project_id or product_id (v0.3)
  --key K                 answer 401 unless X-PG-API-Key is K
  --lenient               round fractional numbers in integer fields instead of refusing
  --max-events N          events allowed in a request (1000)
  --max-body-bytes N      bytes allowed in a body (10000000)
  --max-stored-events N   events kept (1000000)
  --max-stored-bytes N    bytes of JSON text kept (536870912)
  --fault FAULT[@WHEN]    a standing fault; may be repeated, the first whose turn it is strikes
  --latency MS            wait this long before every answer
  --secret-body-limit N   answer 413 above N bytes
  --poison MARKER         refuse a batch with an event that contains MARKER; may be repeated
  --reject MARKER         reject by index the events that contain MARKER; may be repeated
  --help                  print this
  --version               print the version

FAULT: status:CODE[:RETRY_AFTER] html:CODE rubbish redirect:URL reset-before-body
       reset-after-body store-then-reset store-then-500 never-answer
       store-then-never-answer huge:BYTES trickle:MS cut:BYTES
WHEN:  always every:N first:N p:PROBABILITY:SEED
";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Version,
    Run(Box<CollectorBuilder>),
}

/// Reads the arguments after the program's name. The error names the flag and never its value,
/// which may be a key.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut args = args.into_iter();
    let mut builder = Collector::builder();
    let mut plan = FaultPlan::new();
    let mut host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut port = 8080;
    while let Some(arg) = args.next() {
        let (flag, inline) = match arg.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        let switch = match flag.as_str() {
            "--help" | "-h" => Some(Command::Help),
            "--version" | "-V" => Some(Command::Version),
            _ => None,
        };
        if matches!(flag.as_str(), "--allow-remote" | "--lenient") || switch.is_some() {
            if inline.is_some() {
                return Err(format!("{flag}: takes no value"));
            }
            match switch {
                Some(command) => return Ok(command),
                None if flag == "--lenient" => builder = builder.lenient(),
                None => builder = builder.allow_remote(),
            }
            continue;
        }
        if !VALUED.contains(&flag.as_str()) {
            return Err(if flag.starts_with('-') {
                format!("{flag}: unknown flag; --help lists them")
            } else {
                "flags only, no other arguments; --help lists them".to_owned()
            });
        }
        let value = inline
            .or_else(|| args.next())
            .ok_or(format!("{flag}: a value is missing"))?;
        let value = Value {
            flag: &flag,
            text: &value,
        };
        match flag.as_str() {
            "--port" => port = value.number("a port from 0 to 65535")?,
            "--host" => host = value.number("an IP address")?,
            "--generation" => {
                builder = builder.generation(match value.text {
                    "v0.2" => Generation::V0_2,
                    "v0.3" => Generation::V0_3,
                    _ => return Err(value.wrong("v0.2 or v0.3")),
                });
            }
            "--key" => builder = builder.require_key(value.filled("a key")?),
            "--max-events" => builder = builder.max_events(value.number(NUMBER)?),
            "--max-body-bytes" => builder = builder.max_body_bytes(value.number(NUMBER)?),
            "--max-stored-events" => builder = builder.max_stored_events(value.number(NUMBER)?),
            "--max-stored-bytes" => builder = builder.max_stored_bytes(value.number(NUMBER)?),
            "--fault" => {
                let rule: Rule = value
                    .text
                    .parse()
                    .map_err(|error| format!("{flag}: {error}"))?;
                plan.standing.push(rule);
            }
            "--latency" => plan.latency = Duration::from_millis(value.number("milliseconds")?),
            "--secret-body-limit" => plan.secret_body_limit = Some(value.number(NUMBER)?),
            "--poison" => plan = plan.poison(value.filled("a marker")?),
            _ => plan = plan.reject(value.filled("a marker")?),
        }
    }
    Ok(Command::Run(Box::new(
        builder.addr((host, port).into()).faults(plan),
    )))
}

const NUMBER: &str = "a whole number";

/// The flags that take a value.
const VALUED: [&str; 13] = [
    "--port",
    "--host",
    "--generation",
    "--key",
    "--max-events",
    "--max-body-bytes",
    "--max-stored-events",
    "--max-stored-bytes",
    "--fault",
    "--latency",
    "--secret-body-limit",
    "--poison",
    "--reject",
];

struct Value<'a> {
    flag: &'a str,
    text: &'a str,
}

impl Value<'_> {
    fn wrong(&self, expected: &str) -> String {
        format!("{}: expected {expected}", self.flag)
    }

    fn number<T: std::str::FromStr>(&self, expected: &str) -> Result<T, String> {
        self.text.parse().map_err(|_| self.wrong(expected))
    }

    fn filled(&self, expected: &str) -> Result<String, String> {
        match self.text {
            "" => Err(self.wrong(expected)),
            text => Ok(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_flag_is_understood_in_both_forms() {
        let line = "--port 0 --host=127.0.0.1 --generation=v0.2 --key k --lenient --allow-remote \
                    --max-events 5 --max-body-bytes=9 --max-stored-events 5 --max-stored-bytes 5 \
                    --fault status:503@every:2 --fault=rubbish --latency 5 --secret-body-limit 9 \
                    --poison a --reject=b";
        assert!(matches!(run(line), Ok(Command::Run(_))), "{:?}", run(line));
        assert!(matches!(run(""), Ok(Command::Run(_))));
        assert!(matches!(run("--port 1 --help"), Ok(Command::Help)));
        assert!(matches!(run("-V"), Ok(Command::Version)));
    }

    #[test]
    fn a_mistake_names_its_flag() {
        for (line, flag) in [
            ("--port", "--port"),
            ("--port=", "--port"),
            ("--port 65536", "--port"),
            ("--host localhost", "--host"),
            ("--generation v9", "--generation"),
            ("--key=", "--key"),
            ("--max-events -1", "--max-events"),
            ("--fault explode", "--fault"),
            ("--fault rubbish@never", "--fault"),
            ("--latency 5s", "--latency"),
            ("--poison=", "--poison"),
            ("--lenient=yes", "--lenient"),
            ("--prot 1", "--prot"),
        ] {
            let error = run(line).unwrap_err();
            assert!(error.starts_with(&format!("{flag}: ")), "{line}: {error}");
        }
        assert!(run("serve").unwrap_err().contains("--help"));
    }

    #[test]
    fn a_mistake_does_not_repeat_the_value() {
        assert!(!run("--key k --port secret").unwrap_err().contains("secret"));
    }

    #[test]
    fn the_help_names_every_flag() {
        for flag in VALUED {
            assert!(HELP.contains(flag), "{flag}");
        }
    }
}
