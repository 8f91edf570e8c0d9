//! What this process has used: processor time, memory, wake-ups.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// Seconds of processor time, user and system, of all threads.
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The number by which `/proc` knows the calling thread.
pub fn thread_id() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Seconds that a thread of this process has been on a processor; zero where `/proc` does not say.
pub fn cpu_seconds_of(thread: i32) -> f64 {
    let path = format!("/proc/self/task/{thread}/schedstat");
    let text = fs::read_to_string(path).unwrap_or_default();
    let nanos = text
        .split_whitespace()
        .next()
        .and_then(|first| first.parse::<f64>().ok());
    nanos.unwrap_or(0.0) / 1e9
}

/// Resident memory in KiB, now and at most; zero where `/proc` does not say.
pub fn resident_kib() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    (field(&status, "VmRSS:"), field(&status, "VmHWM:"))
}

/// How often threads of this process were put to sleep or taken off their core so far, without the
/// thread that asks.
pub fn switches_of_other_threads() -> u64 {
    let own = fs::read_link("/proc/thread-self").unwrap_or_default();
    let own = own.file_name().map(ToOwned::to_owned);
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return 0;
    };
    tasks
        .flatten()
        .filter(|task| Some(task.file_name()) != own)
        .map(|task| fs::read_to_string(task.path().join("status")).unwrap_or_default())
        .map(|text| {
            field(&text, "voluntary_ctxt_switches:") + field(&text, "nonvoluntary_ctxt_switches:")
        })
        .sum()
}

fn field(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}
