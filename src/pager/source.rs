//! Where pages come from.

use super::{PagerError, Region};
use crate::errno::Errno;
use crate::fd::AsFd;
use crate::io;
use crate::userfaultfd::{Forked, PageRange};

/// Why a page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A thread waits for a page that is not there.
    Missing,
    /// A thread waits for a page that the file has, and the mapping has not.
    Minor,
    /// A thread waits to write to a page that is write-protected.
    WriteProtect,
    /// A thread waits to touch a page that is protected.
    Rwp,
    /// Nobody waits, as far as is known: prefetching.
    Prefetch,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct At {
    /// The offset in the source of the first byte.
    pub offset: u64,
    /// The offset in the source of the page that somebody waits for: at
    /// `offset` or behind.
    pub wanted: u64,
    /// The address of the first byte, in the process that faults.
    pub address: usize,
    /// The size of a page of that memory.
    pub page_size: usize,
    /// Why.
    pub reason: Reason,
    /// Whether it was a write.
    pub write: bool,
}

/// What a source gives.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Fill<'s> {
    /// All of `into` has been written, and is the contents.
    Bytes,
    /// These are the contents, as long as `into`: memory of the source's own,
    /// copied once less.
    Slice(&'s [u8]),
    /// All of it is zeros.
    Zero,
    /// The contents are lost: who touches the page gets a `SIGBUS`. For a
    /// block of several pages, the wanted one is asked for alone. Without
    /// [`Features::POISON`](crate::userfaultfd::Features::POISON), it is as
    /// [`Failed`](Self::Failed).
    Poison,
    /// The file has the contents; it has them now, if it did not before. For
    /// a shared mapping of a memfd or of hugetlbfs that is registered `MINOR`.
    Alias,
    /// Not yet: ask again later, soon or after [`kick`](super::Pager::kick).
    Later,
    /// The contents cannot be had: what then, is a matter of
    /// [`OnFailure`](super::OnFailure). For a block of several pages, the
    /// wanted one is asked for alone first.
    Failed(Errno),
}

/// Where pages come from: a file, a socket, memory, a computation.
///
/// Several handlers ask at the same time, so it is `Sync`. A source may block
/// as long as it likes: the thread that waits for the page does, and this
/// handler; the other handlers do not.
///
/// **It must not touch memory that its own pager serves**, not even by a
/// lock, a buffer or an allocator that lies there: the handler would wait for
/// itself. Nor may it, with [`EVENT_REMOVE`] and its like, discard, unmap or
/// move registered memory, or fork. [`Self::memory`] lets the simplest mistake
/// of this kind be refused; the rest is up to the implementor.
///
/// If it panics and the panic unwinds, the faults that the handler held are
/// woken and come again, to another handler.
///
/// [`EVENT_REMOVE`]: crate::userfaultfd::Features::EVENT_REMOVE
///
/// ```
/// use barecall::pager::{At, Fill, PageSource};
///
/// /// Each byte is the number of its page.
/// struct Numbers;
///
/// impl PageSource for Numbers {
///     fn page<'s>(&'s self, at: At, into: &'s mut [u8]) -> Fill<'s> {
///         for (i, page) in into.chunks_mut(4096).enumerate() {
///             page.fill((at.offset / 4096 + i as u64) as u8);
///         }
///         Fill::Bytes
///     }
/// }
/// ```
pub trait PageSource: Sync {
    /// The contents from `at.offset` on, as many bytes as `into` is long:
    /// whole pages, with the wanted one among them.
    ///
    /// What `into` contains before is anything. The same page can be asked for
    /// more than once, by several handlers at once or when it was in vain; one
    /// of the answers becomes the page. For [`Reason::Minor`], every answer
    /// that has contents means: those in the file.
    fn page<'s>(&'s self, at: At, into: &'s mut [u8]) -> Fill<'s>;

    /// The memory that is read by [`Self::page`], if it is one piece: it must
    /// not be served itself, and a pager refuses that.
    fn memory(&self) -> Option<&[u8]> {
        None
    }

    /// The protection of a page is about to be lifted, because somebody wants
    /// to write to it ([`Reason::WriteProtect`]) or touch it
    /// ([`Reason::Rwp`]). The time to note it, or to save what is in it.
    ///
    /// ```
    /// use barecall::pager::{
    ///     At, Fill, PageSource, Pager, PagerOptions, Region, RegionFlags, RegionTable,
    /// };
    /// use barecall::userfaultfd::{Features, MappedRegion, RegisterModes, UserfaultfdOptions};
    /// use std::sync::Mutex;
    ///
    /// /// Zeros, and which pages of them were written.
    /// struct Noting(Mutex<Vec<u64>>);
    /// impl PageSource for Noting {
    ///     fn page<'s>(&'s self, _: At, _: &'s mut [u8]) -> Fill<'s> {
    ///         Fill::Zero
    ///     }
    ///     fn unprotect(&self, at: At) {
    ///         self.0.lock().unwrap().push(at.offset);
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// const PAGE: usize = 4096;
    /// let opened = UserfaultfdOptions::new().want(Features::PAGEFAULT_FLAG_WP).open_any()?;
    /// if opened.dropped.contains(Features::PAGEFAULT_FLAG_WP) {
    ///     return Ok(()); // On aarch64, before Linux 6.10.
    /// }
    /// let uffd = opened.userfaultfd;
    /// let modes = RegisterModes::MISSING | RegisterModes::WP;
    /// let memory = MappedRegion::anonymous(&uffd, 4 * PAGE, modes)?;
    /// let mut room = [Region::EMPTY; 4];
    /// let mut table = RegionTable::new(&mut room);
    /// let region = Region::new(memory.range(), 0, PAGE).with_flags(RegionFlags::WRITE_PROTECTED);
    /// table.insert(region)?;
    /// let source = Noting(Mutex::default());
    /// let pager = Pager::new(&uffd, &source, table, PagerOptions::new(PAGE))?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| pager.serve(&mut [0; 4 * PAGE]));
    ///     memory.read_at(&mut [0; 4 * PAGE], 0);
    ///     memory.write_at(&[1, 2], 2 * PAGE);
    ///     pager.stop();
    /// });
    /// assert_eq!(*source.0.lock().unwrap(), [2 * PAGE as u64]);
    /// # drop(memory);
    /// # pager.shutdown();
    /// # Ok(())
    /// # }
    /// ```
    fn unprotect(&self, at: At) {
        let _ = at;
    }

    /// The process has forked. `child` is for the child's faults, and `regions`
    /// are the child's, as the parent's were at that moment.
    ///
    /// To serve the child, copy them and start another pager, elsewhere: here,
    /// everything waits until this returns. Without more, the child's
    /// descriptor is leaked, and the child waits at its first missing page:
    /// better than zeros.
    fn forked(&self, child: Forked, regions: &[Region]) {
        let _ = (child, regions);
    }
}

/// To read what one serves oneself would be to wait for oneself.
pub(super) fn refuse_own_memory<S: PageSource + ?Sized>(
    source: &S,
    regions: &[Region],
) -> Result<(), PagerError> {
    let Some(memory) = source.memory() else {
        return Ok(());
    };
    let memory = PageRange::of_memory(memory.as_ptr(), memory.len());
    let served = |region: &Region| region.range().intersection(memory).is_some();
    match regions.iter().any(served) {
        true => Err(PagerError::SourceServed),
        false => Ok(()),
    }
}

impl<S: PageSource + ?Sized> PageSource for &S {
    fn page<'s>(&'s self, at: At, into: &'s mut [u8]) -> Fill<'s> {
        (**self).page(at, into)
    }
    fn memory(&self) -> Option<&[u8]> {
        (**self).memory()
    }
    fn unprotect(&self, at: At) {
        (**self).unprotect(at);
    }
    fn forked(&self, child: Forked, regions: &[Region]) {
        (**self).forked(child, regions);
    }
}

/// Pages from memory: no copy is made but the kernel's own.
///
/// Past the end of the slice there is nothing: `ENXIO`.
#[derive(Clone, Copy, Debug)]
pub struct SliceSource<'m>(pub &'m [u8]);

impl PageSource for SliceSource<'_> {
    fn page<'s>(&'s self, at: At, into: &'s mut [u8]) -> Fill<'s> {
        let rest = usize::try_from(at.offset)
            .ok()
            .and_then(|offset| self.0.get(offset..));
        match rest.and_then(|rest| rest.get(..into.len())) {
            Some(slice) => Fill::Slice(slice),
            None => Fill::Failed(Errno::ENXIO),
        }
    }

    fn memory(&self) -> Option<&[u8]> {
        Some(self.0)
    }
}

/// Pages from a file, by `pread`.
///
/// If the file ends within a page, the rest of that page is zeros, as in a
/// mapping of it. A page that lies wholly past its end cannot be had: `ENXIO`.
#[derive(Clone, Copy, Debug)]
pub struct FileSource<Fd>(pub Fd);

impl<Fd: AsFd + Sync> PageSource for FileSource<Fd> {
    fn page<'s>(&'s self, at: At, into: &'s mut [u8]) -> Fill<'s> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let offset = at.offset.saturating_add(done as u64);
            match io::pread(self.0.as_fd(), rest, offset) {
                Ok(0) if rest.len() < at.page_size => {
                    rest.fill(0);
                    return Fill::Bytes;
                }
                Ok(0) => return Fill::Failed(Errno::ENXIO),
                Ok(count) => done = done.saturating_add(count),
                Err(Errno::EINTR) => {}
                Err(errno) => return Fill::Failed(errno),
            }
        }
        Fill::Bytes
    }
}

/// The file that is mapped has all the pages already: shared memory that is
/// registered `MINOR`, and `MISSING`.
///
/// No byte is copied. Where the file has a hole, mapping fails with `EFAULT`,
/// which is a failure of the source. (Registered `MINOR` alone, **a hole is
/// zeros**: the kernel makes a page for it and tells nobody.)
#[derive(Clone, Copy, Debug, Default)]
pub struct InFile;

impl PageSource for InFile {
    fn page<'s>(&'s self, _: At, _: &'s mut [u8]) -> Fill<'s> {
        Fill::Alias
    }
}
