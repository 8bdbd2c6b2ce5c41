//! How much memory this process takes, as the kernel counts it.

use std::fs;

/// Memory that is in use now, KiB.
pub fn now() -> u64 {
    status("VmRSS:")
}

/// Forgets the peak.
pub fn forget_peak() {
    // proc(5): 5 resets the peak resident set size to the current one.
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// The most that was in use at one time since the peak was forgotten, KiB.
pub fn peak() -> u64 {
    status("VmHWM:")
}

fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
