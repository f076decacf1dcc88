//! Electors in a simulated world: answers are lost or late, processes are stopped for a while, die, or go,
//! and never do two of them lead.
//!
//! Time is simulated; clocks show what they like, but run at the same rate.

use std::time::Duration;

use proptest::prelude::*;
use wheelhouse_core::Moment;

use super::elector::{Elector, Next, NotWritten, Timings, Write};
use super::record::Lease;

const MS: Duration = Duration::from_millis(1);

/// How bad the world is.
#[derive(Clone, Copy, Debug)]
struct Weather {
    seed: u64,
    processes: usize,
    /// Per cent of requests, and of answers, that are lost.
    lost: u64,
    /// The longest that either may take, in milliseconds.
    delay: u64,
    /// Per cent of steps after which a process stops for a while, dies, or goes.
    pauses: u64,
    crashes: u64,
    leaves: u64,
}

/// A sequence that only looks random (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

enum Asked {
    Read,
    Write(Write),
}

enum Answer {
    Read(Option<Lease>),
    Written(Result<String, NotWritten>),
}

enum What {
    /// A process looks what there is to do.
    Step,
    /// A request reaches the server.
    Arrives(u64, Asked),
    /// Its answer reaches the process.
    Answers(u64, Answer),
    /// The process waits for it no longer.
    TimesOut(u64),
}

struct Process {
    /// One more for each that took the place of one that died.
    incarnation: u64,
    elector: Elector,
    asked: Option<(u64, Moment, Asked)>,
    stopped_until: Moment,
}

struct World {
    weather: Weather,
    dice: Dice,
    base: Moment,
    now: Moment,
    calm: bool,
    /// With the process and its incarnation.
    events: Vec<(Moment, u64, usize, u64, What)>,
    processes: Vec<Process>,
    lease: Option<Lease>,
    versions: u64,
    requests: u64,
    terms: u64,
    led: Option<(usize, u64)>,
}

/// Not all have the same; each must be safe beside the others.
fn timings(process: usize) -> Timings {
    let (lease, renew, retry) =
        if process.is_multiple_of(2) { (15_000, 10_000, 2_000) } else { (8_000, 7_000, 1_000) };
    Timings { lease_duration: MS * lease, renew_deadline: MS * renew, retry_period: MS * retry }
}

impl World {
    fn new(weather: Weather) -> Self {
        let base = Moment::now();
        let mut world = Self {
            weather,
            dice: Dice(weather.seed),
            base,
            now: base,
            calm: false,
            events: Vec::new(),
            processes: Vec::new(),
            lease: None,
            versions: 0,
            requests: 0,
            terms: 0,
            led: None,
        };
        for process in 0..weather.processes {
            let born = world.born(process, 0);
            world.processes.push(born);
            world.at(base, process, 0, What::Step);
        }
        world
    }

    fn born(&mut self, process: usize, incarnation: u64) -> Process {
        let mut dice = Dice(self.dice.below(u64::MAX));
        let random = move || dice.below(1000) as f64 / 1000.0;
        let elector = Elector::new(format!("p{process}-{incarnation}"), timings(process), self.now, random);
        Process { incarnation, elector, asked: None, stopped_until: self.now }
    }

    fn at(&mut self, when: Moment, process: usize, incarnation: u64, what: What) {
        self.requests += 1;
        self.events.push((when, self.requests, process, incarnation, what));
    }

    /// What comes next; what comes at the same time, in the order in which it came about.
    fn pop(&mut self) -> Option<(Moment, usize, u64, What)> {
        let next = self.events.iter().enumerate().min_by_key(|(_, event)| (event.0, event.1))?.0;
        let (when, _, process, incarnation, what) = self.events.swap_remove(next);
        Some((when, process, incarnation, what))
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some((when, process, incarnation, what)) = self.pop() {
            if when > end {
                self.at(when, process, incarnation, what);
                break;
            }
            self.now = when;
            self.happen(process, incarnation, what);
            self.check();
        }
        self.now = end;
    }

    fn check(&mut self) {
        let leads = |p: &Process| p.elector.leads_until(self.now).is_some();
        let leaders: Vec<_> = self.processes.iter().enumerate().filter(|(_, p)| leads(p)).collect();
        assert!(leaders.len() < 2, "{} lead at {:?}", leaders.len(), self.now - self.base);
        if let Some((process, p)) = leaders.first() {
            let leader = (*process, p.incarnation);
            if self.led.replace(leader) != Some(leader) {
                self.terms += 1;
            }
        }
    }

    fn happen(&mut self, process: usize, incarnation: u64, what: What) {
        // The network does not know that a process died.
        let what = match what {
            What::Arrives(request, asked) => return self.arrives(process, incarnation, request, asked),
            what => what,
        };
        let p = &mut self.processes[process];
        if p.incarnation != incarnation {
            return;
        }
        if self.now < p.stopped_until {
            // It hears of it when it wakes: of answers first, however late they are.
            let wakes = p.stopped_until + if matches!(what, What::Answers(..)) { Duration::ZERO } else { MS };
            return self.at(wakes, process, incarnation, what);
        }
        match what {
            What::Step => {
                if p.asked.is_some() {
                    return;
                }
            }
            What::Answers(request, answer) => {
                let Some((_, sent, asked)) = p.asked.take_if(|asked| asked.0 == request) else { return };
                match (answer, asked) {
                    (Answer::Read(lease), _) => {
                        p.elector.read(self.now, Ok(lease), Duration::ZERO, &stamp(request))
                    }
                    (Answer::Written(answer), Asked::Write(write)) => {
                        p.elector.wrote(self.now, sent, &write, answer);
                    }
                    (Answer::Written(_), Asked::Read) => unreachable!(),
                }
            }
            What::TimesOut(request) => {
                let Some((_, sent, asked)) = p.asked.take_if(|asked| asked.0 == request) else { return };
                match asked {
                    Asked::Read => p.elector.read(self.now, Err(()), Duration::ZERO, ""),
                    Asked::Write(write) => p.elector.wrote(self.now, sent, &write, Err(NotWritten::Unknown)),
                }
            }
            What::Arrives(..) => {}
        }
        self.step(process);
    }

    fn step(&mut self, process: usize) {
        let fate = if self.calm { 100 } else { self.dice.below(100) };
        let Weather { pauses, crashes, leaves, .. } = self.weather;
        let (now, incarnation) = (self.now, self.processes[process].incarnation);
        if fate < pauses {
            // From right after it has done what there is to do: answers wait for it to wake.
            let stopped = MS * u32::try_from(self.dice.below(40_000)).unwrap();
            self.processes[process].stopped_until = now + stopped;
        } else if fate < pauses + crashes + leaves {
            if fate >= pauses + crashes
                && let Some(write) = self.processes[process].elector.release(&stamp(self.requests))
            {
                // It leads no more from here on, and its release takes its time.
                self.send(process, Asked::Write(write));
            }
            let next = self.born(process, incarnation + 1);
            self.processes[process] = next;
            return self.at(now, process, incarnation + 1, What::Step);
        }
        let stamp = stamp(self.requests);
        if self.dice.chance(10) {
            // True or not, and whoever it is that hears it.
            self.processes[process].elector.freed(now);
        }
        match self.processes[process].elector.next(now, &stamp) {
            Next::Wait(until) => self.at(until.max(now + MS), process, incarnation, What::Step),
            Next::Read => self.ask(process, Asked::Read),
            Next::Write(write) => self.ask(process, Asked::Write(write)),
        }
    }

    fn ask(&mut self, process: usize, asked: Asked) {
        let (now, incarnation) = (self.now, self.processes[process].incarnation);
        let kept = match &asked {
            Asked::Read => Asked::Read,
            Asked::Write(write) => Asked::Write(write.clone()),
        };
        let request = self.send(process, asked);
        self.processes[process].asked = Some((request, now, kept));
        let left = self.processes[process].elector.leads_until(now).map(|until| until - now);
        let longest = timings(process).renew_deadline / 2;
        let within = left.map_or(longest, |left| left.min(longest));
        self.at(now + within, process, incarnation, What::TimesOut(request));
    }

    fn delay(&mut self) -> Duration {
        let longest = if self.calm { 50 } else { self.weather.delay };
        MS * u32::try_from(1 + self.dice.below(longest)).unwrap()
    }

    fn lose(&mut self) -> bool {
        !self.calm && self.dice.chance(self.weather.lost)
    }

    fn send(&mut self, process: usize, asked: Asked) -> u64 {
        let (delay, incarnation) = (self.delay(), self.processes[process].incarnation);
        let request = self.requests + 1_000_000_000;
        if self.lose() {
            self.requests += 1;
        } else {
            self.at(self.now + delay, process, incarnation, What::Arrives(request, asked));
        }
        request
    }

    fn arrives(&mut self, process: usize, incarnation: u64, request: u64, asked: Asked) {
        let answer = match asked {
            Asked::Read => Answer::Read(self.lease.clone()),
            Asked::Write(write) => Answer::Written(self.store(write)),
        };
        let delay = self.delay();
        if !self.lose() {
            self.at(self.now + delay, process, incarnation, What::Answers(request, answer));
        }
    }

    fn store(&mut self, write: Write) -> Result<String, NotWritten> {
        let there = self.lease.as_ref().map(|lease| lease.version.clone());
        if there != write.replaces {
            return Err(NotWritten::Conflict);
        }
        self.versions += 1;
        let version = self.versions.to_string();
        self.lease = Some(Lease { record: write.record, version: version.clone() });
        Ok(version)
    }
}

/// A wall clock that goes back and forth, and never shows the same twice.
fn stamp(request: u64) -> String {
    request.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string()
}

fn weather() -> impl Strategy<Value = Weather> {
    (any::<u64>(), 2..5_usize, 0..40_u64, 1..20_000_u64, 0..8_u64, 0..4_u64, 0..4_u64).prop_map(
        |(seed, processes, lost, delay, pauses, crashes, leaves)| Weather {
            seed,
            processes,
            lost,
            delay,
            pauses,
            crashes,
            leaves,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_never_lead_at_once_and_in_calm_weather_one_does(weather in weather()) {
        let mut world = World::new(weather);
        world.run(600);
        world.calm = true;
        world.run(120);
        let leads = |p: &Process| p.elector.leads_until(world.now).is_some();
        prop_assert_eq!(world.processes.iter().filter(|p| leads(p)).count(), 1);
    }
}

#[test]
fn the_world_is_one_in_which_leaders_change() {
    let weather = Weather { seed: 1, processes: 3, lost: 20, delay: 3_000, pauses: 3, crashes: 2, leaves: 2 };
    let mut world = World::new(weather);
    world.run(3_600);
    assert!(world.terms > 20, "{} terms", world.terms);
}
