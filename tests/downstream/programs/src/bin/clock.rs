//! Reads the clock by the vDSO that the initial stack tells of, between two
//! system calls (VDS-008). Without a vDSO (qemu-user of some versions) the
//! answer must be that there is none.
#![no_std]
#![no_main]

use barecall::time::{self, ClockId};
use barecall::vdso::{Function, Vdso};
use barecall::{Errno, io, rt::Start};

barecall::entry!(main);

fn main(start: Start) -> i32 {
    // SAFETY: the vector that the kernel gave this program.
    let vdso = unsafe { Vdso::from_auxv(start.auxv()) };
    let before = time::clock_gettime(ClockId::MONOTONIC);
    let now = vdso.clock_gettime(ClockId::MONOTONIC);
    let after = time::clock_gettime(ClockId::MONOTONIC);
    let right = match (before, now, after) {
        (Ok(before), Ok(now), Ok(after)) => before <= now && now <= after,
        (_, now, _) => now == Err(Errno::ENOSYS) && !vdso.has(Function::ClockGettime),
    };
    // SAFETY: standard output is open.
    match io::write(unsafe { io::stdout() }, b"ok\n") {
        Ok(3) if right => 7,
        _ => 1,
    }
}
