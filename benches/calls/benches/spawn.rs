//! Time from `posix_spawn` of a program to its end.
//!
//! `cargo bench --bench spawn -- TOPIC NAME=COMMAND ...`, as benches/run calls
//! it; the first command is the one to compare with.

#[path = "../../common/mod.rs"]
mod common;

use common::{race, rounds, timed};
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::time::Instant;

/// Microseconds. The program gets no environment; its output goes to /dev/null.
fn spawn(words: &[CString], actions: &libc::posix_spawn_file_actions_t) -> f64 {
    let (mut pid, mut status) = (0, 0);
    let path: &CStr = &words[0];
    let pointers = words.iter().map(|word| word.as_ptr().cast_mut());
    let argv: Vec<_> = pointers.chain([std::ptr::null_mut()]).collect();
    let envp = [std::ptr::null_mut()];
    let start = Instant::now();
    // SAFETY: strings, arrays that end with null, and places for the answers.
    let (spawned, waited) = unsafe {
        let attributes = std::ptr::null();
        let (argv, envp) = (argv.as_ptr(), envp.as_ptr());
        let path = path.as_ptr();
        let spawned = libc::posix_spawn(&mut pid, path, actions, attributes, argv, envp);
        (spawned, libc::waitpid(pid, &mut status, 0))
    };
    let time = start.elapsed().as_nanos() as f64 / 1000.0;
    assert_eq!((spawned, waited, status), (0, pid, 0), "{path:?}");
    time
}

fn main() {
    let (commands, words): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .partition(|arg| arg.contains('='));
    let [topic] = &words[..] else {
        return println!("no programs: TOPIC NAME=COMMAND ...");
    };
    let programs: Vec<(&str, Vec<CString>)> = commands
        .iter()
        .filter_map(|command| command.split_once('='))
        .map(|(name, command)| {
            let words = command.split(' ').map(CString::new);
            (name, words.map(|word| word.expect("no NUL")).collect())
        })
        .collect();
    let mut actions = MaybeUninit::uninit();
    // SAFETY: made by the first, filled by the second.
    let actions = unsafe {
        let (null, write) = (c"/dev/null".as_ptr(), libc::O_WRONLY);
        assert_eq!(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()), 0);
        assert_eq!(
            libc::posix_spawn_file_actions_addopen(actions.as_mut_ptr(), 1, null, write, 0),
            0
        );
        actions.assume_init()
    };
    let ways = programs
        .iter()
        .map(|(name, words)| timed(name, || spawn(words, &actions)))
        .collect();
    race(topic, "spawn to end", "us", rounds(401), ways);
}
