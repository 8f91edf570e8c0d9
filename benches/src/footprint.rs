//! What it costs to add a client to a small service: crates, and the time of a clean build.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::records::Records;

/// A service with nothing added.
pub const BASE: &str = "axum and tokio alone";
/// Ours, with default features.
pub const OURS: &str = "productgraph";

const CRATES: &str = "crates of the service";
const BUILD: &str = "clean build s";
const SERVICE: &str = r#"
axum = { version = "0.8", default-features = false, features = ["http1", "tokio"] }
tokio = { version = "1", features = ["rt-multi-thread", "macros", "net"] }
"#;

/// A client, the line that adds it, and a line that uses it.
fn clients() -> Vec<(&'static str, String, &'static str)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().unwrap_or(root);
    vec![
        (BASE, String::new(), ""),
        (
            OURS,
            format!(
                "productgraph = {{ path = {:?} }}",
                root.display().to_string()
            ),
            "drop(productgraph::Engine::builder());",
        ),
        (
            "posthog-rs",
            "posthog-rs = \"0.30\"".to_owned(),
            "drop(posthog_rs::ClientOptionsBuilder::default());",
        ),
        (
            "sentry",
            "sentry = \"0.49\"".to_owned(),
            "drop(sentry::ClientOptions::new());",
        ),
    ]
}

/// Counts the crates of a service with each client, and with `build` how long a clean build takes.
///
/// A registry has to be reachable: versions are the newest that fit.
pub fn run(build: bool) -> Records {
    let mut records = Records::default();
    let folder = std::env::temp_dir().join(format!("footprint-{}", std::process::id()));
    for (name, dependency, line) in clients() {
        let service = folder.join(name.replace(' ', "-"));
        write(&service, &dependency, line);
        records.add(name, CRATES, crates(&service) as f64);
        if build {
            let start = Instant::now();
            cargo(&service, &["build", "--quiet"]);
            records.add(name, BUILD, start.elapsed().as_secs_f64());
        }
        for (total, added) in [(CRATES, "added crates"), (BUILD, "added build s")] {
            if let (Some(base), Some(with)) = (records.get(BASE, total), records.get(name, total)) {
                records.add(name, added, with - base);
            }
        }
    }
    let _ = fs::remove_dir_all(folder);
    records
}

fn write(service: &Path, dependency: &str, line: &str) {
    let manifest = format!(
        "[package]\nname = \"service\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]{SERVICE}{dependency}\n"
    );
    let main = format!(
        r#"#[tokio::main]
async fn main() {{
    {line}
    let app = axum::Router::new().route("/", axum::routing::get(async || "ok"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    axum::serve(listener, app).await.unwrap();
}}
"#
    );
    fs::create_dir_all(service.join("src")).expect("a folder for the service");
    fs::write(service.join("Cargo.toml"), manifest).expect("its manifest");
    fs::write(service.join("src/main.rs"), main).expect("its source");
}

fn crates(service: &Path) -> usize {
    let options = [
        "tree",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    let tree = cargo(service, &options);
    let mut names: Vec<&str> = tree
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .collect();
    names.sort_unstable();
    names.dedup();
    // the service itself
    names.len() - 1
}

fn cargo(service: &Path, options: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(options)
        .current_dir(service)
        .env("CARGO_TARGET_DIR", service.join("target"))
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {options:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
