//! Runs every measurement and holds the numbers against the limits, in one table.

mod goals;
mod table;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::records::Records;
use crate::{args, peers};

/// The programs, with their options, and those of a quick look.
const PARTS: [(&str, &[&str], &[&str]); 6] = [
    ("hotpath", &[], &["--rounds", "8", "--paced", "20000"]),
    ("callers", &[], &["--burst", "2000"]),
    ("e2e", &[], &["--repetitions", "1", "--seconds", "2"]),
    ("heap", &["--repetitions", "1"], &["--repetitions", "1", "--seconds", "1"]),
    ("middleware", &[], &["--turns", "5", "--requests", "3000", "--turn-ms", "500"]),
    ("footprint", &["--build"], &[]),
];

/// Runs the parts (all, or those of `--parts`), prints the table, and says whether every limit that
/// was measured is met.
///
/// # Errors
///
/// What failed to build or to run.
pub fn run() -> Result<bool, String> {
    build()?;
    let mut records = Records::default();
    let mut output = String::new();
    for (part, options, quick) in PARTS {
        if !args::chosen("parts", part) {
            continue;
        }
        eprintln!("# {part}");
        let options = if args::given("quick") { quick } else { options };
        let text = run_part(part, options)?;
        records.extend(Records::parse(&text));
        let tables = text.lines().filter(|line| !line.starts_with("record\t"));
        output.extend(tables.flat_map(|line| [line, "\n"]));
    }
    let table = goals::table(&records);
    println!("{}\n{}", machine(), table.markdown());
    if args::given("details") {
        println!("{output}");
    }
    Ok(table.is_met())
}

/// The other programs, with the features of this one.
fn build() -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--bins", "--locked", "--manifest-path"]);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    if !peers::BUILT {
        command.arg("--no-default-features");
    }
    let status = command.status().map_err(|error| format!("cargo does not start: {error}"))?;
    status.success().then_some(()).ok_or_else(|| format!("the programs do not build: {status}"))
}

fn run_part(part: &str, options: &[&str]) -> Result<String, String> {
    let beside: PathBuf = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(beside.with_file_name(part))
        .args(options)
        .arg("--records")
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{part} does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("{part} failed: {}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What it was measured on and with.
fn machine() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let first_line = |program: &str, options: &[&str]| {
        let output = Command::new(program).args(options).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().lines().next().unwrap_or("unknown").to_owned()
    };
    let rustc = first_line("rustc", &["--version"]);
    let commit = first_line("git", &["rev-parse", "--short", "HEAD"]);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    format!(
        "{cores} processors,{}; {rustc}; commit {commit}; load at the end {load}; {}.\n",
        model.trim_start_matches(['\t', ':']),
        if args::given("quick") { "quick" } else { "full length" },
    )
}
