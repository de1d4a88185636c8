//! Serves a page fault of another thread through userfaultfd.

use crate::{During, Stop};
use barecall::event::{self, PollFd, PollFlags};
use barecall::rt::Start;
use barecall::thread;
use barecall::time::Timespec;
use barecall::userfaultfd::{Event, MappedRegion, RegisterModes, UserfaultfdOptions};
use barecall::{Errno, io};
use barecall_examples::Out;
use core::fmt::Write as _;

pub fn run(start: &Start, out: &mut Out<'_>) -> Result<(), Stop> {
    let page = start.auxv().page_size().unwrap_or(4096);
    let uffd = match UserfaultfdOptions::new().open_any() {
        Ok(opened) => opened.userfaultfd,
        Err(error) => return Err(Stop::Lacking("userfaultfd", error.errno())),
    };
    let region =
        MappedRegion::anonymous(&uffd, page, RegisterModes::MISSING).during("UFFDIO_REGISTER")?;

    // The page is touched by a thread of its own, which the kernel stops until
    // somebody fills the page.
    let at = region.as_ptr().expose_provenance();
    let reader = move || {
        // SAFETY: the region lives until this thread has been joined.
        unsafe { core::ptr::with_exposed_provenance::<u8>(at).read_volatile() }
    };
    // SAFETY: no libc here; the thread touches nothing but the page.
    let thread = unsafe { thread::spawn(65536, reader) }.during("clone")?;

    let mut fds = [PollFd::new(&uffd, PollFlags::IN)];
    let patience = Timespec {
        tv_sec: 10,
        tv_nsec: 0,
    };
    if io::retry_on_intr(|| event::poll(&mut fds, Some(patience))).during("ppoll")? == 0 {
        return Err(Stop::Failed("waiting for the fault", Errno::ETIMEDOUT));
    }
    match uffd.read_event().during("read")? {
        Event::Missing(fault) => {
            let _ = writeln!(
                out,
                "   A thread touched {:#x}, where no page is.",
                fault.address()
            );
            let content = [0xab; 65536];
            let Some(content) = content.get(..page) else {
                return Err(Stop::Failed("a page so large", Errno::EINVAL));
            };
            if let Err(unresolved) = fault.copy(content) {
                return Err(Stop::Failed("UFFDIO_COPY", unresolved.stop().errno()));
            }
        }
        _ => {
            return Err(Stop::Failed(
                "another event than a missing page",
                Errno::EPROTO,
            ));
        }
    }
    let byte = thread.join().during("futex")?;
    let _ = writeln!(out, "   It was given a page, and read {byte:#x}.");
    if byte != 0xab {
        return Err(Stop::Failed("reading what was copied", Errno::EIO));
    }
    Ok(())
}
