//! The table, and whether all budgets are kept.

use std::process::ExitCode;
use std::time::Duration;

pub(crate) struct Report {
    missed: usize,
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The nearest rank, in milliseconds.
pub(crate) fn quantile(times: &mut [Duration], q: f64) -> f64 {
    times.sort_unstable();
    let rank = (q * times.len() as f64).ceil() as usize;
    times.get(rank.saturating_sub(1)).map_or(f64::NAN, |time| millis(*time))
}

/// The time that this process has had of the cores: what others have of them is not in it.
pub(crate) fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    // `utime` and `stime` (see proc(5)), in hundredths of a second.
    let ticks: u64 = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

impl Report {
    pub(crate) fn new() -> Self {
        println!("{:<64} {:>14}   budget", "what", "figure");
        Self { missed: 0 }
    }

    fn line(&self, what: &str, figure: f64, unit: &str, budget: &str) {
        let digits = if figure < 100.0 { 2 } else { 0 };
        let figure = format!("{figure:.digits$} {unit}");
        println!("{what:<64} {figure:>14}   {budget}");
    }

    /// A figure without a budget.
    pub(crate) fn figure(&mut self, what: &str, figure: f64, unit: &str) {
        self.line(what, figure, unit, "");
    }

    pub(crate) fn at_most(&mut self, what: &str, figure: f64, unit: &str, most: f64) {
        self.judged(what, figure, unit, &format!("≤ {most} {unit}"), figure <= most);
    }

    pub(crate) fn at_least(&mut self, what: &str, figure: f64, unit: &str, least: f64) {
        self.judged(what, figure, unit, &format!("≥ {least} {unit}"), figure >= least);
    }

    fn judged(&mut self, what: &str, figure: f64, unit: &str, budget: &str, is_kept: bool) {
        if is_kept {
            return self.line(what, figure, unit, budget);
        }
        self.missed += 1;
        self.line(what, figure, unit, &format!("{budget} MISSED"));
    }

    pub(crate) fn end(self) -> ExitCode {
        match self.missed {
            0 => ExitCode::SUCCESS,
            missed => {
                eprintln!("budgets missed: {missed}");
                ExitCode::FAILURE
            }
        }
    }
}
