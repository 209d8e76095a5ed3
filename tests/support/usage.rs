//! Who has used the machine's processors: this test with all that it started, or others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// The ticks that were used up to an instant.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// All that there were, idle ones included.
    all: u64,
    /// Those that some process or another machine on the same hardware used.
    used: u64,
    /// Those that this process and its descendants used, the ended ones included.
    own: u64,
}

impl Usage {
    pub fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap();
        // user nice system idle iowait irq softirq steal; guests' time is in the first two.
        let line = text.lines().next().unwrap();
        let ticks = line.split_whitespace().skip(1).take(8);
        let ticks: Vec<u64> = ticks.map(|ticks| ticks.parse().unwrap()).collect();
        let all = ticks.iter().sum();
        Self {
            all,
            used: all - ticks[3] - ticks[4],
            own: own_ticks(),
        }
    }

    /// The shares of the processors' time since then: what this test has used, and others.
    pub fn since(&self) -> (f64, f64) {
        let now = Self::now();
        let all = (now.all - self.all).max(1) as f64;
        // A process that is not waited for takes its time with it: then others seem to have it.
        let own = now.own.saturating_sub(self.own);
        let others = (now.used - self.used).saturating_sub(own);
        (own as f64 / all, others as f64 / all)
    }
}

/// Of `/proc/PID/stat`: the parent, and the ticks of the process and of those it has waited for.
fn parent_and_ticks(stat: &str) -> Option<(u32, u64)> {
    // The name may hold anything, parentheses as well.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = fields.get(11..15)?.iter();
    let ticks = ticks.filter_map(|ticks| ticks.parse::<u64>().ok());
    Some((fields.get(1)?.parse().ok()?, ticks.sum()))
}

fn own_ticks() -> u64 {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut used: BTreeMap<u32, u64> = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended meanwhile.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some((parent, ticks)) = parent_and_ticks(&stat) {
            children.entry(parent).or_default().push(pid);
            used.insert(pid, ticks);
        }
    }
    let (mut sum, mut seen) = (0, BTreeSet::new());
    let mut left = vec![std::process::id()];
    while let Some(pid) = left.pop() {
        if seen.insert(pid) {
            sum += used.get(&pid).unwrap_or(&0);
            left.extend(children.get(&pid).into_iter().flatten());
        }
    }
    sum
}
