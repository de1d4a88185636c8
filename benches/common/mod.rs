//! What the benches share: contenders take turns, and every figure is a line.
//!
//! criterion and divan measure one function to its end and then the next, so
//! that a mood of the machine (frequency, a neighbour, memory) lands on one
//! contender alone. Here every round runs all of them, each first once in a
//! while, and what counts is the median of the ratios *within a round*. The
//! same page of code serves what times itself: page faults, whole programs.
//!
//! A figure, on standard output when that is no terminal, is six fields with
//! tabs between them:
//!
//! ```text
//! topic/case/way   value   unit   ratio   against   how
//! ```
//!
//! `ratio` is to the way `against` (more than 1: more of the unit than it), `-`
//! where nothing is compared. `benches/run` makes the tables of these lines;
//! benches/README.md says more.
#![allow(dead_code, reason = "each bench takes its part")]

use std::io::IsTerminal as _;
use std::time::Instant;

/// As many rounds as asked for under `cargo bench`; otherwise (`cargo test
/// --benches`, `cargo run`) one, to see that it works.
pub fn rounds(full: usize) -> usize {
    match std::env::args().any(|arg| arg == "--bench") {
        true => full,
        false => 1,
    }
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Says one figure: see the head of this file. `key` is `topic/case/way`.
pub fn figure(key: &str, value: f64, unit: &str, against: Option<(f64, &str)>, how: &str) {
    let value = match value {
        counted if counted.fract() == 0.0 => format!("{counted:.0}"),
        small if small < 10.0 => format!("{small:.2}"),
        other => format!("{other:.1}"),
    };
    let (ratio, against) = match against {
        Some((ratio, against)) => (format!("{ratio:.3}"), against),
        None => ("-".to_owned(), "-"),
    };
    if std::io::stdout().is_terminal() {
        println!("{key:64} {value:>12} {unit:12} {ratio:>8} of {against} ({how})");
    } else {
        println!("{key}\t{value}\t{unit}\t{ratio}\t{against}\t{how}");
    }
}

/// One contender of a race.
pub struct Way<'a> {
    name: &'a str,
    turn: Box<dyn FnMut() -> f64 + 'a>,
}

/// A contender whose turn is so many calls, in a loop that is compiled for
/// this call alone; its figure is nanoseconds a call.
pub fn way<'a>(name: &'a str, calls: u32, mut call: impl FnMut() + 'a) -> Way<'a> {
    timed(name, move || {
        let start = Instant::now();
        for _ in 0..calls {
            call();
        }
        start.elapsed().as_nanos() as f64 / f64::from(calls)
    })
}

/// A contender that measures its turn itself.
pub fn timed<'a>(name: &'a str, turn: impl FnMut() -> f64 + 'a) -> Way<'a> {
    let turn = Box::new(turn);
    Way { name, turn }
}

/// Lets all take turns, and says a figure for each, with the ratio to the
/// first.
pub fn race(topic: &str, case: &str, unit: &str, rounds: usize, mut ways: Vec<Way<'_>>) {
    let count = ways.len();
    let mut times = vec![Vec::with_capacity(rounds); count];
    if rounds > 1 {
        // To warm up: page tables, caches, lazily bound symbols.
        ways.iter_mut().for_each(|way| {
            (way.turn)();
        });
    }
    for round in 0..rounds {
        for turn in 0..count {
            let which = (round + turn) % count;
            times[which].push((ways[which].turn)());
        }
    }
    let against = ways[0].name;
    for (way, own) in ways.iter().zip(&times) {
        let mut ratios: Vec<f64> = own.iter().zip(&times[0]).map(|(a, b)| a / b).collect();
        let mut own = own.clone();
        let (middle, ratio) = (median(&mut own), median(&mut ratios));
        let how = format!("median of {rounds} rounds, least {:.1}", own[0]);
        let key = format!("{topic}/{case}/{}", way.name);
        figure(&key, middle, unit, Some((ratio, against)), &how);
    }
}
