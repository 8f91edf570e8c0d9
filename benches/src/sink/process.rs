//! A sink in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use super::board::Board;

/// Stopped when dropped.
#[derive(Debug)]
pub struct SinkProcess {
    child: Child,
    port: u16,
    board: PathBuf,
}

impl SinkProcess {
    /// Starts the running program once more, as a sink.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start(options: &[&str]) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let board = folder.join(format!("productgraph-sink-{}-{number}", std::process::id()));
        let _ = std::fs::remove_file(&board);
        let mut child = Command::new(std::env::current_exe().expect("the program's own path"))
            .arg(super::ROLE)
            .arg("--board")
            .arg(&board)
            .args(options)
            // it ends when this end closes
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sink starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output is piped");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("the sink tells its port");
        let port = line.trim().parse().expect("a port");
        Self { child, port, board }
    }

    /// Without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where its counters are.
    pub fn board(&self) -> &PathBuf {
        &self.board
    }

    /// Its counters.
    ///
    /// # Panics
    ///
    /// If the file is gone.
    pub fn watch(&self) -> Board {
        Board::open(&self.board).expect("the board opens")
    }
}

impl Drop for SinkProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.board);
    }
}
