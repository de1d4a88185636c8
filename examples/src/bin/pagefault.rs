//! Memory that another thread serves: a page is 0xAB all over, put there when
//! it is touched first. Ends with status 0 when that is what was read.
#![no_std]
#![no_main]

use barecall::io::{self, retry_on_intr};
use barecall::rt::Start;
use barecall::userfaultfd::{Event, MappedRegion, RegisterModes, UserfaultfdOptions};
use barecall::{Errno, thread};
use barecall_examples::{help, paging::userfaultfd};

barecall::entry!(main);

const PAGES: usize = 16;

const USAGE: &str = "\
usage: pagefault
Reads memory that another thread serves page by page, through userfaultfd.
";

fn main(start: Start) -> i32 {
    if let Some(status) = help(start, USAGE) {
        return status;
    }
    match run(&start) {
        Ok(true) => {
            // SAFETY: descriptor 1 is standard output from the start.
            let _ = io::write_all(unsafe { io::stdout() }, b"all pages are 0xAB\n");
            0
        }
        Ok(false) => 1,
        Err(errno) => errno.raw(),
    }
}

fn run(start: &Start) -> Result<bool, Errno> {
    let auxv = start.auxv();
    let page_size = auxv.page_size().unwrap_or(4096);
    // Room for the largest page that there is.
    let contents = [0xab; 64 << 10];
    let contents = contents.get(..page_size).ok_or(Errno::EINVAL)?;

    let uffd = userfaultfd(UserfaultfdOptions::new().blocking(true))?;
    let memory = MappedRegion::anonymous(&uffd, PAGES * page_size, RegisterModes::MISSING)?;

    let serve = || -> Result<(), Errno> {
        for _ in 0..PAGES {
            if let Event::Missing(fault) = retry_on_intr(|| uffd.read_event())? {
                fault.copy(contents)?;
            }
        }
        Ok(())
    };
    // SAFETY: joined below, before what it borrows ends; there is no libc.
    let handler = unsafe { thread::spawn_unchecked(64 << 10, serve) }?;
    let mut right = 0;
    for i in 0..PAGES {
        let mut bytes = [0; 3];
        // Waits until the page is there.
        memory.read_at(&mut bytes, i * page_size + 1000);
        right += usize::from(bytes == [0xab; 3]);
    }
    handler.join()??;
    Ok(right == PAGES)
}
