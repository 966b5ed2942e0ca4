//! What a server and all its processes have used, from /proc.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// Ticks of the processor's clock a second, on every Linux there is.
const TICKS: u64 = 100;

/// Used up to now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    ticks: u64,
    /// Memory that is theirs: what several processes share is counted by its part.
    pub memory_kib: u64,
}

impl Usage {
    /// Of a process, its descendants, and those of them that ended and were waited for.
    pub fn of(root: u32) -> Self {
        let mut parents = HashMap::new();
        let mut ticks = HashMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            // The name in brackets may hold anything.
            let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
            let fields: Vec<u64> = rest.split(' ').skip(1).map(|field| field.parse().unwrap_or(0)).collect();
            parents.insert(pid, fields[0] as u32);
            ticks.insert(pid, fields[10..14].iter().sum::<u64>());
        }
        let mut usage = Usage::default();
        for (&pid, used) in &ticks {
            let mut at = pid;
            while at != root && at > 1 {
                at = parents.get(&at).copied().unwrap_or(0);
            }
            if at == root {
                usage.ticks += used;
                usage.memory_kib += memory(pid);
            }
        }
        usage
    }

    /// Processor time since then.
    pub fn cpu_since(&self, root: u32) -> Duration {
        Duration::from_millis(Usage::of(root).ticks.saturating_sub(self.ticks) * 1000 / TICKS)
    }
}

fn memory(pid: u32) -> u64 {
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = smaps.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
