//! Runs every measurement and holds the numbers against the limits, in one table.

mod goals;
mod table;

use std::process::{Command, Stdio};

use crate::records::Records;
use crate::{args, peers, programs};

/// A program, in this binary or in one of its own beside it.
struct Part {
    name: &'static str,
    run: Option<fn()>,
    options: &'static [&'static str],
    /// For a quick look.
    quick: &'static [&'static str],
}

const PARTS: [Part; 6] = [
    Part {
        name: "hotpath",
        run: Some(programs::hotpath),
        options: &[],
        quick: &["--rounds", "8", "--paced", "20000"],
    },
    // these count allocations, each with an allocator of its own
    Part {
        name: "callers",
        run: None,
        options: &[],
        quick: &["--burst", "2000"],
    },
    Part {
        name: "heap",
        run: None,
        options: &["--repetitions", "1"],
        quick: &["--repetitions", "1", "--seconds", "1"],
    },
    Part {
        name: "e2e",
        run: Some(programs::e2e),
        options: &[],
        quick: &["--repetitions", "1", "--seconds", "2"],
    },
    Part {
        name: "middleware",
        run: Some(programs::middleware),
        options: &[],
        quick: &["--turns", "5", "--requests", "3000", "--turn-ms", "500"],
    },
    Part {
        name: "footprint",
        run: Some(programs::footprint),
        options: &["--build"],
        quick: &[],
    },
];

/// Runs the part that the command line names first. True if it named one.
pub fn play_a_part() -> bool {
    let name = std::env::args().nth(1);
    let part = PARTS.iter().find(|part| Some(part.name) == name.as_deref());
    part.and_then(|part| part.run).is_some_and(|run| {
        run();
        true
    })
}

/// Runs the parts (all, or those of `--parts`), prints the table, and says whether every limit that
/// was measured is met.
///
/// # Errors
///
/// What failed to build or to run; the table then lacks it.
pub fn run() -> Result<bool, String> {
    build()?;
    let mut records = Records::default();
    let mut details = String::new();
    let mut failures = Vec::new();
    for part in PARTS.iter().filter(|part| args::chosen("parts", part.name)) {
        eprintln!("# {}", part.name);
        match run_part(part) {
            Ok(text) => {
                records.extend(Records::parse(&text));
                let tables = text.lines().filter(|line| !line.starts_with("record\t"));
                details.extend(tables.flat_map(|line| [line, "\n"]));
            }
            Err(error) => failures.push(error),
        }
    }
    let table = goals::table(&records);
    println!("{}\n{}", machine(), table.markdown());
    if args::given("details") {
        println!("{details}");
    }
    failures.extend(
        records
            .failures()
            .into_iter()
            .map(|row| format!("{row} failed")),
    );
    if failures.is_empty() {
        Ok(table.is_met())
    } else {
        Err(failures.join("; "))
    }
}

/// The programs that are not in this one, with its features.
fn build() -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--release",
        "--bin",
        "callers",
        "--bin",
        "heap",
        "--locked",
        "--manifest-path",
    ]);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    if !peers::BUILT {
        command.args(["--no-default-features", "--features", "programs"]);
    }
    let status = command
        .status()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| format!("the programs do not build: {status}"))
}

fn run_part(part: &Part) -> Result<String, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = if part.run.is_some() {
        let mut command = Command::new(this);
        command.arg(part.name);
        command
    } else {
        Command::new(this.with_file_name(part.name))
    };
    let options = if args::given("quick") {
        part.quick
    } else {
        part.options
    };
    let output = command
        .args(options)
        .arg("--records")
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{} does not start: {error}", part.name))?;
    if !output.status.success() {
        return Err(format!("{} failed: {}", part.name, output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What it was measured on and with.
fn machine() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let first_line = |program: &str, options: &[&str]| {
        let output = Command::new(program).args(options).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default()
            .lines()
            .next()
            .unwrap_or("unknown")
            .to_owned()
    };
    let rustc = first_line("rustc", &["--version"]);
    let commit = first_line("git", &["rev-parse", "--short", "HEAD"]);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    format!(
        "{cores} processors,{}; {rustc}; commit {commit}; load at the end {load}; {}.\n",
        model.trim_start_matches(['\t', ':']),
        if args::given("quick") {
            "quick"
        } else {
            "full length"
        },
    )
}
