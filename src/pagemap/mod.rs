//! Which pages of a process are there, were written, were touched.
//!
//! [`Pagemap::scan`] asks `PAGEMAP_SCAN` (since Linux 6.7): ranges of pages
//! that match, found by the kernel at a gigabyte in one or a few milliseconds, and
//! in the same request write-protected again. Together with
//! [`Features::WP_ASYNC`](crate::userfaultfd::Features::WP_ASYNC) that is
//! tracking of writes without a fault handler; with
//! [`RWP_ASYNC`](crate::userfaultfd::Features::RWP_ASYNC) (since Linux 7.3), of
//! working sets. [`Pagemap::entries`] is for older kernels: 64 bits a page.
//!
//! ```
//! use barecall::pagemap::{Categories, PageRegion, Pagemap, Scan, ScanFlags};
//! use barecall::userfaultfd::{
//!     Features, MappedRegion, RegisterModes, UserfaultfdOptions, supported,
//! };
//!
//! # fn main() -> Result<(), barecall::Errno> {
//! # if !supported()?.features.contains(Features::WP_ASYNC) { return Ok(()); }
//! let options = UserfaultfdOptions::new().require(Features::WP_ASYNC);
//! let uffd = options.open_any()?.userfaultfd;
//! let memory = MappedRegion::anonymous(&uffd, 1 << 20, RegisterModes::WP)?;
//! uffd.write_protect(memory.range())?;
//!
//! memory.write_at(b"changed", 5 << 16);
//!
//! // What was written, and protect it again, in one go.
//! let pagemap = Pagemap::open_self()?;
//! let scan = Scan::new(memory.range())
//!     .all_of(Categories::WRITTEN)
//!     .flags(ScanFlags::WP_MATCHING | ScanFlags::CHECK_WPASYNC);
//! let mut room = [PageRegion::EMPTY; 64];
//! for region in pagemap.scan(scan, &mut room) {
//!     let region = region?;
//!     assert!(region.range().contains(memory.range().start() + (5 << 16)));
//! }
//! assert_eq!(pagemap.scan(scan, &mut room).count(), 0);
//! # Ok(())
//! # }
//! ```

mod entry;
mod scan;

pub use entry::Entry;
pub use scan::{Categories, PageRegion, Scan, ScanFlags};

use crate::errno::Errno;
use crate::fd::syscall_fd;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::userfaultfd::proc_path;
use crate::{nr, syscall};
use core::ffi::CStr;
use core::iter::FusedIterator;

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: u32 = 0xc060_6610;

/// `struct pm_scan_arg`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "struct pm_scan_arg")]
struct PmScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// What one request has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// How many regions were written, from the first on.
    pub regions: usize,
    /// The address at which the scan stopped: the end of the range when it is
    /// done, else where the next begins.
    pub walk_end: usize,
}

/// As [`Scanned`], also when it ended with an error.
pub(crate) struct Partly {
    pub(crate) regions: usize,
    pub(crate) walk_end: usize,
    pub(crate) error: Option<Errno>,
}

/// `/proc/PID/pagemap` of a process.
#[derive(Debug)]
pub struct Pagemap(OwnedFd);

impl Pagemap {
    /// `openat("/proc/self/pagemap")`: this process's.
    ///
    /// # Errors
    ///
    /// `ENOENT`: no /proc. `EACCES`: not dumpable (`PR_SET_DUMPABLE`), and not
    /// privileged.
    pub fn open_self() -> Result<Self, Errno> {
        Self::open_path(c"/proc/self/pagemap")
    }

    /// `openat("/proc/PID/pagemap")`: that of any process.
    ///
    /// # Errors
    ///
    /// `EACCES`: no right to look at that process (as for `ptrace`). `ENOENT`:
    /// no such process, or no /proc. `ESRCH`: it has no memory: it has ended, or
    /// is a thread of the kernel.
    ///
    /// ```
    /// use barecall::fd::OwnedFd;
    /// use barecall::fs::{self, Mode, OFlags};
    /// use barecall::pagemap::{Entry, Pagemap};
    ///
    /// let pagemap = Pagemap::open(std::process::id())?;
    /// let byte = 7_u8;
    /// let mut entry = [Entry::default()];
    /// assert_eq!(pagemap.entries((&raw const byte).addr(), 4096, &mut entry)?, 1);
    /// assert!(entry[0].is_present() || entry[0].is_swapped());
    ///
    /// // One that was opened by who may.
    /// let fd = fs::openat(fs::CWD, c"/proc/self/pagemap", OFlags::CLOEXEC, Mode::empty())?;
    /// // SAFETY: it is one.
    /// let other = unsafe { Pagemap::adopt(fd) };
    /// assert_eq!(other.entries((&raw const byte).addr(), 4096, &mut entry)?, 1);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn open(pid: u32) -> Result<Self, Errno> {
        let mut buf = [0; 48];
        let path = proc_path(&mut buf, b"/proc/", pid, b"/pagemap").ok_or(Errno::EINVAL)?;
        Self::open_path(path)
    }

    fn open_path(path: &CStr) -> Result<Self, Errno> {
        const AT_FDCWD: i32 = -100;
        const O_CLOEXEC: u32 = 0o2000000;
        // SAFETY: a new descriptor, ours.
        unsafe { syscall_fd!(nr::OPENAT, AT_FDCWD, path, O_CLOEXEC, 0) }.map(Self)
    }

    /// Takes over a descriptor that was opened otherwise, or received.
    ///
    /// # Safety
    ///
    /// It is a `/proc/PID/pagemap`: for another kind of file, the requests that
    /// this type makes may mean something else.
    ///
    /// See [`Self::open`] for an example.
    pub const unsafe fn adopt(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// `ioctl(fd, PAGEMAP_SCAN, arg)`: fills `room` with what matches, as far
    /// as it goes (since Linux 6.7).
    ///
    /// `max_pages` limits how many pages are found, and protected again; 0 is
    /// no limit. Without room (an empty slice), the pages that match are
    /// protected and not told; nobody counts them, so a limit is `EINVAL`.
    ///
    /// When it fails in the middle of the range, at memory that
    /// [`ScanFlags::CHECK_WPASYNC`] objects to, pages before that were protected
    /// all the same: what was found is in `room`, and nothing says how much.
    /// [`Self::scan`] tells what was found before it gives the error.
    ///
    /// # Errors
    ///
    /// `ENOTTY`: before Linux 6.7. `EPERM`: with [`ScanFlags::CHECK_WPASYNC`],
    /// some of the range is not registered for asynchronous protection.
    /// `EINVAL`: a flag or a category that this kernel does not know, or the
    /// start is no page's. `EFAULT`: not addresses of user space. `ENOMEM`.
    /// `ESRCH`: the process is gone.
    ///
    /// ```
    /// use barecall::Errno;
    /// use barecall::pagemap::{PageRegion, Pagemap, Scan};
    /// use barecall::userfaultfd::PageRange;
    ///
    /// // The lowest addresses, where nothing is mapped.
    /// let scan = Scan::new(PageRange::new(0, 1 << 16));
    /// let mut room = [PageRegion::EMPTY; 8];
    /// match Pagemap::open_self()?.scan_once(&scan, &mut room, 0) {
    ///     Ok(found) => assert_eq!((found.regions, found.walk_end), (0, 1 << 16)),
    ///     Err(errno) => assert_eq!(errno, Errno::ENOTTY),
    /// }
    /// # Ok::<(), Errno>(())
    /// ```
    ///
    /// Manual page:
    /// [PAGEMAP_SCAN(2const)](https://man7.org/linux/man-pages/man2/PAGEMAP_SCAN.2const.html).
    #[doc(alias = "PAGEMAP_SCAN")]
    pub fn scan_once(
        &self,
        scan: &Scan,
        room: &mut [PageRegion],
        max_pages: u64,
    ) -> Result<Scanned, Errno> {
        let vec = if room.is_empty() {
            if max_pages != 0 {
                return Err(Errno::EINVAL);
            }
            0
        } else {
            room.as_mut_ptr().expose_provenance() as u64
        };
        let mut arg = PmScanArg {
            size: size_of::<PmScanArg>() as u64,
            flags: scan.flags.bits(),
            start: scan.start,
            end: scan.end,
            walk_end: scan.start,
            vec,
            vec_len: room.len() as u64,
            max_pages,
            category_inverted: scan.inverted.bits(),
            category_mask: scan.all_of.bits(),
            category_anyof_mask: scan.any_of.bits(),
            return_mask: scan.report.bits(),
        };
        // SAFETY: a pagemap; the structure that it takes, and room for as many
        // regions as it says.
        let regions = unsafe { syscall!(nr::IOCTL, self.0.as_fd(), PAGEMAP_SCAN, &raw mut arg) }?;
        Ok(Scanned {
            regions: regions.min(room.len()),
            walk_end: arg.walk_end as usize,
        })
    }

    /// [`Self::scan_once`] that says what it has found before an error: the
    /// kernel has written it, and its answer says only the error.
    pub(crate) fn scan_until_error(&self, scan: &Scan, room: &mut [PageRegion]) -> Partly {
        // All of what is told to the kernel is cleared before, so it is no more
        // than one request finds in a moment.
        let most = room.len().min(4096);
        let room = room.get_mut(..most).unwrap_or_default();
        room.fill(PageRegion::EMPTY);
        match self.scan_once(scan, room, 0) {
            Ok(Scanned { regions, walk_end }) => Partly {
                regions,
                walk_end,
                error: None,
            },
            Err(errno) => Partly {
                regions: room.iter().take_while(|found| found.end != 0).count(),
                walk_end: 0,
                error: Some(errno),
            },
        }
    }

    /// Repeats [`Self::scan_once`] from where it came to, until the end of the
    /// range: an iterator over all that matches.
    ///
    /// `room` is what one request fills; the more, the fewer requests. If it is
    /// empty, there is one request, and nothing to iterate over. Two regions
    /// that touch can be one that did not fit.
    ///
    /// To be iterated to its end: with [`ScanFlags::WP_MATCHING`], what is not
    /// taken out is protected all the same.
    ///
    /// # Errors
    ///
    /// Items; the last one, if any. What was found before it, was.
    pub fn scan<'p, 'r>(&'p self, scan: Scan, room: &'r mut [PageRegion]) -> Regions<'p, 'r> {
        Regions {
            pagemap: self,
            scan,
            room,
            next: 0,
            found: 0,
            error: None,
            done: false,
        }
    }

    /// `pread64(fd, buf, count, offset)`: an entry for each page from that at
    /// `start` on; for kernels without [`Self::scan`].
    ///
    /// Gives how many entries were read: fewer than there is room for at the
    /// end of the address space, and none of a process that has ended.
    ///
    /// # Errors
    ///
    /// `EINVAL`: `page_size` is no power of two, or less than 8.
    ///
    /// ```
    /// use barecall::pagemap::{Entry, Pagemap};
    /// use barecall::userfaultfd::PageRange;
    ///
    /// let here = Box::new([7_u8; 8192]);
    /// let mut entries = [Entry::default(); 2];
    /// let address = PageRange::of_memory(here.as_ptr(), 1).start();
    /// // The page size comes from the auxiliary vector.
    /// assert_eq!(Pagemap::open_self()?.entries(address, 4096, &mut entries)?, 2);
    /// assert!(entries[0].is_present() || entries[0].is_swapped());
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page:
    /// [proc_pid_pagemap(5)](https://man7.org/linux/man-pages/man5/proc_pid_pagemap.5.html).
    pub fn entries(
        &self,
        start: usize,
        page_size: usize,
        entries: &mut [Entry],
    ) -> Result<usize, Errno> {
        let Some(page) = start.checked_div(page_size) else {
            return Err(Errno::EINVAL);
        };
        if !page_size.is_power_of_two() || page_size < size_of::<Entry>() {
            return Err(Errno::EINVAL);
        }
        let offset = page.wrapping_mul(size_of::<Entry>());
        // SAFETY: the kernel writes at most that many bytes, of whole entries.
        let bytes = unsafe {
            syscall!(
                nr::PREAD64,
                self.0.as_fd(),
                entries.as_mut_ptr(),
                size_of_val(entries),
                offset
            )
        }?;
        Ok(bytes / size_of::<Entry>())
    }
}

impl AsFd for Pagemap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

crate::fd::std_as_fd!(Pagemap);

/// The regions that match, from [`Pagemap::scan`].
#[derive(Debug)]
#[must_use = "nothing is scanned until it is iterated over"]
pub struct Regions<'p, 'r> {
    pagemap: &'p Pagemap,
    scan: Scan,
    room: &'r mut [PageRegion],
    next: usize,
    found: usize,
    error: Option<Errno>,
    done: bool,
}

impl Iterator for Regions<'_, '_> {
    type Item = Result<PageRegion, Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.next < self.found {
                let region = self.room.get(self.next).copied();
                self.next += 1;
                return region.map(Ok);
            }
            if let Some(errno) = self.error.take() {
                return Some(Err(errno));
            }
            if self.done {
                return None;
            }
            let scanned = self.pagemap.scan_until_error(&self.scan, self.room);
            let reached = scanned.walk_end as u64;
            // A scan that gets nowhere would not end.
            self.done = reached >= self.scan.end || reached <= self.scan.start;
            self.scan.start = reached;
            self.next = 0;
            self.found = scanned.regions;
            self.error = scanned.error;
        }
    }
}

impl FusedIterator for Regions<'_, '_> {}
