//! How much of the machine some processes had.

use std::fs;

/// Processes, and the time that they and the whole machine had spent when this was made.
pub struct Share {
    processes: Vec<u32>,
    before: Ticks,
}

#[derive(Clone, Copy)]
struct Ticks {
    own: u64,
    idle: u64,
    all: u64,
}

impl Share {
    pub fn of(processes: Vec<u32>) -> Self {
        let before = Ticks::now(&processes);
        Self { processes, before }
    }

    /// What these have used since, and what nobody has used, as parts of all that the processors
    /// had to give: what is missing from 1, others have taken.
    pub fn used_and_idle(&self) -> (f64, f64) {
        let (now, before) = (Ticks::now(&self.processes), self.before);
        let all = (now.all - before.all).max(1) as f64;
        let part = |now: u64, before: u64| (now - before) as f64 / all;
        (part(now.own, before.own), part(now.idle, before.idle))
    }
}

impl Ticks {
    fn now(processes: &[u32]) -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap();
        let line = stat.lines().next().unwrap();
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are in the first two.
        let all = numbers(line.split_whitespace().skip(1).take(8));
        Self {
            own: processes.iter().map(|process| used(*process)).sum(),
            idle: all[3] + all[4],
            all: all.iter().sum(),
        }
    }
}

/// By its threads, the ended ones included; panics when the process has ended.
fn used(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))
        .unwrap_or_else(|error| panic!("process {process} has ended: {error}"));
    // Its name may hold anything, and stands in parentheses.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let used = fields.split_whitespace().skip(11).take(2);
    numbers(used).iter().sum()
}

fn numbers<'a>(words: impl Iterator<Item = &'a str>) -> Vec<u64> {
    words.map(|word| word.parse().unwrap()).collect()
}
