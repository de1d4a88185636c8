//! Memory of the program's own, registered.

use super::{Ioctls, PageRange, RegisterModes, Userfaultfd};
use crate::errno::Errno;
use crate::fd::AsFd;
use crate::mm::{self, Advice, MapFlags, ProtFlags};
use crate::{nr, syscall};
use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr;

/// Registered memory that belongs to nobody else: a mapping of its own, and a
/// duplicate of the userfaultfd.
///
/// As long as this lives, a handler that dies leaves its threads waiting
/// instead of reading zeros. When it is dropped, the memory is unmapped first
/// and the duplicate closed after, so that a late toucher gets a `SIGSEGV`, and
/// no zeros either. (With [`EVENT_UNMAP`](super::Features::EVENT_UNMAP),
/// dropping waits until the event is read: do not drop it in the handler.)
///
/// Others write this memory, by filling it if nothing else, so there is no
/// safe reference into it: there are copies in and out, and a pointer. Both
/// wait where a page is missing. With [`Features::SIGBUS`], or poisoned, a
/// touch is a `SIGBUS`.
///
/// [`Features::SIGBUS`]: super::Features::SIGBUS
///
/// ```
/// use barecall::userfaultfd::{CopyFlags, MappedRegion, RegisterModes};
/// # use barecall::userfaultfd::UserfaultfdOptions;
/// # let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
///
/// let region = MappedRegion::anonymous(&uffd, 1 << 16, RegisterModes::MISSING)?;
/// let filled = uffd.fill_copy(region.range().start(), &[7; 1 << 16], CopyFlags::empty());
/// assert_eq!(filled.all()?, 1 << 16);
///
/// let mut buf = [0; 4];
/// assert_eq!(region.read_at(&mut buf, 65_534), 2);
/// assert_eq!(buf, [7, 7, 0, 0]);
/// # Ok::<(), barecall::Errno>(())
/// ```
pub struct MappedRegion {
    start: *mut u8,
    len: usize,
    ioctls: Ioctls,
    keeper: ManuallyDrop<Userfaultfd>,
}

// SAFETY: memory of the process; the accessors tolerate whoever writes it.
unsafe impl Send for MappedRegion {}
// SAFETY: as above; there are no references into it.
unsafe impl Sync for MappedRegion {}

impl MappedRegion {
    /// `mmap` of `len` bytes of anonymous memory, `F_DUPFD_CLOEXEC`, and
    /// `UFFDIO_REGISTER`.
    ///
    /// In the process that opened `uffd`: in a child that inherited it by
    /// `fork`, it would still register the parent's memory.
    ///
    /// # Errors
    ///
    /// `EINVAL`: `len` is not whole pages, or the modes are not for this
    /// memory; or the descriptor was adopted or is a child's, and would
    /// register the memory of another process. `ENOMEM`, `EMFILE`.
    pub fn anonymous(uffd: &Userfaultfd, len: usize, modes: RegisterModes) -> Result<Self, Errno> {
        Self::new(uffd, len, modes, |prot| {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
            // SAFETY: a new mapping, somewhere where nothing was.
            unsafe { mm::mmap_anonymous(ptr::null_mut(), len, prot, flags) }
        })
    }

    /// As [`Self::anonymous`], in huge pages of `1 << log2` bytes, of which the
    /// system must have some reserved (`MAP_HUGETLB`).
    ///
    /// # Errors
    ///
    /// As [`Self::anonymous`]; `ENOMEM` also when there are too few huge pages,
    /// `EINVAL` when there is no such size.
    ///
    /// ```
    /// use barecall::Errno;
    /// use barecall::userfaultfd::{CopyFlags, MappedRegion, RegisterModes};
    /// # use barecall::userfaultfd::UserfaultfdOptions;
    /// # let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    ///
    /// const HUGE: usize = 2 << 20;
    /// match MappedRegion::anonymous_huge(&uffd, HUGE, 21, RegisterModes::MISSING) {
    ///     // A huge page is filled as a whole.
    ///     Ok(region) => {
    ///         let page = vec![7; HUGE];
    ///         let filled = uffd.copy_once(region.range().start(), &page, CopyFlags::empty());
    ///         assert_eq!(filled.all()?, HUGE);
    ///     }
    ///     // None is reserved; or there is no such size.
    ///     Err(Errno::ENOMEM | Errno::EINVAL) => {}
    ///     Err(errno) => return Err(errno),
    /// }
    /// # Ok::<(), Errno>(())
    /// ```
    pub fn anonymous_huge(
        uffd: &Userfaultfd,
        len: usize,
        log2: u32,
        modes: RegisterModes,
    ) -> Result<Self, Errno> {
        // The kernel takes six bits of it, and 0 for a size of its own choice.
        if !(1..64).contains(&log2) {
            return Err(Errno::EINVAL);
        }
        Self::new(uffd, len, modes, |prot| {
            let flags = MapFlags::PRIVATE | MapFlags::huge_log2(log2);
            // SAFETY: a new mapping, somewhere where nothing was.
            unsafe { mm::mmap_anonymous(ptr::null_mut(), len, prot, flags) }
        })
    }

    /// As [`Self::anonymous`], of a memfd (or another file in memory, by
    /// `fcntl(F_GET_SEALS)`), shared, from `offset` on: what `MINOR` needs.
    ///
    /// What is written into the file otherwise, is not told; what is not in it
    /// is missing, and what is in it but not mapped is a minor fault. If the
    /// file gets shorter, touching what is gone is a `SIGBUS`.
    ///
    /// # Errors
    ///
    /// As [`Self::anonymous`]; `EINVAL` also for a file that is not in memory,
    /// `EACCES`, `EPERM`: the descriptor or a seal is against writing.
    ///
    /// ```
    /// use barecall::memfd::MemfdOptions;
    /// use barecall::userfaultfd::{MappedRegion, RegisterModes, ZeroFlags};
    /// # use barecall::userfaultfd::UserfaultfdOptions;
    /// # let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    ///
    /// let (file, _) = MemfdOptions::new().create_or_legacy(c"guest")?;
    /// file.set_len(0x4000)?;
    /// file.write_all_at(b"not missing", 0x2000)?;
    /// let region = MappedRegion::shared(&uffd, &file, 0x2000, 0x2000, RegisterModes::MISSING)?;
    ///
    /// // The file has this page, so it is not missing.
    /// let mut bytes = [0; 11];
    /// region.read_at(&mut bytes, 0);
    /// assert_eq!(&bytes, b"not missing");
    /// // Of the other, it has nothing.
    /// let rest = region.range().after(0x1000);
    /// uffd.fill_zero(rest, ZeroFlags::empty()).all()?;
    /// region.write_at(b"from here", 0x1000);
    /// file.read_at(&mut bytes, 0x3000)?;
    /// assert_eq!(&bytes, b"from here\0\0");
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn shared<Fd: AsFd>(
        uffd: &Userfaultfd,
        file: Fd,
        offset: u64,
        len: usize,
        modes: RegisterModes,
    ) -> Result<Self, Errno> {
        const F_GET_SEALS: u32 = 1034;
        // With WP_ASYNC the kernel registers a device's mapping, too. Only files
        // in memory have seals, if none: `EINVAL` from all others.
        // SAFETY: takes nothing.
        unsafe { syscall!(nr::FCNTL, file.as_fd(), F_GET_SEALS, 0) }?;
        Self::new(uffd, len, modes, |prot| {
            // SAFETY: a new mapping, somewhere where nothing was, of memory.
            unsafe { mm::mmap(ptr::null_mut(), len, prot, MapFlags::SHARED, file, offset) }
        })
    }

    fn new(
        uffd: &Userfaultfd,
        len: usize,
        modes: RegisterModes,
        map: impl FnOnce(ProtFlags) -> Result<*mut core::ffi::c_void, Errno>,
    ) -> Result<Self, Errno> {
        if !uffd.local {
            return Err(Errno::EINVAL);
        }
        let keeper = uffd.try_clone()?;
        let start = map(ProtFlags::READ | ProtFlags::WRITE)?.cast::<u8>();
        let mut region = Self {
            start,
            len,
            ioctls: Ioctls::empty(),
            keeper: ManuallyDrop::new(keeper),
        };
        // SAFETY: nobody has relied on what is in it, and nobody will: there
        // are no references. On an error it is unmapped.
        region.ioctls = unsafe { region.keeper.register(region.range(), modes) }?;
        Ok(region)
    }

    /// The addresses.
    pub fn range(&self) -> PageRange {
        PageRange::of_memory(self.start, self.len)
    }

    /// Where it is. Good for [`Self::len`] bytes, for reading and writing, as
    /// long as `self` lives. A touch can wait for the handler.
    pub const fn as_ptr(&self) -> *mut u8 {
        self.start
    }

    /// In bytes.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it; there is.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The requests that the kernel takes for it.
    pub const fn ioctls(&self) -> Ioctls {
        self.ioctls
    }

    /// The duplicate of the userfaultfd.
    ///
    /// ```
    /// use barecall::userfaultfd::{CopyFlags, MappedRegion, RegisterModes, UserfaultfdOptions};
    ///
    /// let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    /// let region = MappedRegion::anonymous(&uffd, 0x2000, RegisterModes::MISSING)?;
    /// // The handler is gone, with its descriptor; who touches the region now, waits.
    /// drop(uffd);
    ///
    /// // The next handler.
    /// let uffd = region.keeper().try_clone()?;
    /// uffd.fill_copy(region.range().start(), &[7; 0x2000], CopyFlags::empty()).all()?;
    /// let mut byte = [0];
    /// region.read_at(&mut byte, 0x1234);
    /// assert_eq!(byte, [7]);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn keeper(&self) -> &Userfaultfd {
        &self.keeper
    }

    /// Copies from `offset` on into `buf`, and says how many bytes: fewer than
    /// `buf` has if the region ends before, 0 past its end.
    ///
    /// No system call; waits where a page is missing. While others write, each
    /// byte is one that was there at some moment.
    pub fn read_at(&self, buf: &mut [u8], offset: usize) -> usize {
        let n = self.len.saturating_sub(offset).min(buf.len());
        // SAFETY: within both; others use this memory by the byte, too.
        unsafe { crate::arch::copy_racing(buf.as_mut_ptr(), self.start.wrapping_add(offset), n) };
        n
    }

    /// Copies `buf` to `offset` and following, and says how many bytes: fewer
    /// than `buf` has if the region ends before, 0 past its end.
    ///
    /// As [`Self::read_at`]; waits also where a page is write-protected.
    ///
    /// See [`Self::shared`] for an example.
    pub fn write_at(&self, buf: &[u8], offset: usize) -> usize {
        let n = self.len.saturating_sub(offset).min(buf.len());
        // SAFETY: within both; others use this memory by the byte, too.
        unsafe { crate::arch::copy_racing(self.start.wrapping_add(offset), buf.as_ptr(), n) };
        n
    }

    /// `madvise(addr, length, MADV_DONTNEED)` of `len` bytes from `offset` on:
    /// the pages are missing again, and the next touch is a fault.
    ///
    /// The pages of a shared file stay in the file. With
    /// [`EVENT_REMOVE`](super::Features::EVENT_REMOVE) it waits until the event
    /// is read: not to be called by the handler.
    ///
    /// # Errors
    ///
    /// `EINVAL`: `offset` is no page's, or not in the region. (Every page that
    /// has some of the bytes is discarded; of huge pages, only whole ones.)
    ///
    /// ```
    /// use barecall::userfaultfd::{CopyFlags, Filled, MappedRegion, RegisterModes};
    /// # use barecall::userfaultfd::UserfaultfdOptions;
    /// # let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    ///
    /// let region = MappedRegion::anonymous(&uffd, 0x2000, RegisterModes::MISSING)?;
    /// let (start, none) = (region.range().start(), CopyFlags::empty());
    /// uffd.fill_copy(start, &[1; 0x2000], none).all()?;
    /// region.discard(0x1000, 0x1000)?;
    /// // Missing, so it can be filled again.
    /// let filled = uffd.copy_once(start + 0x1000, &[2; 0x1000], none);
    /// assert_eq!(filled, Filled { done: 0x1000, stop: None });
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page: [madvise(2)](https://man7.org/linux/man-pages/man2/madvise.2.html).
    #[doc(alias = "MADV_DONTNEED")]
    pub fn discard(&self, offset: usize, len: usize) -> Result<(), Errno> {
        match self.len.checked_sub(offset) {
            Some(rest) if len <= rest => {}
            _ => return Err(Errno::EINVAL),
        }
        let start = self.start.wrapping_add(offset).cast();
        // SAFETY: ours, and nobody relies on what is in it.
        unsafe { mm::madvise(start, len, Advice::DONTNEED) }
    }
}

impl MappedRegion {
    /// Huge pages are unmapped whole or not at all, and `mmap` has rounded a
    /// length up to them that registering has then refused. The first length
    /// that the kernel takes is never more than what is mapped.
    fn unmap(&self) -> Result<(), Errno> {
        let mut answer = Err(Errno::EINVAL);
        for log2 in 0..usize::BITS {
            let Some(len) = self.len.checked_next_multiple_of(1 << log2) else {
                break;
            };
            // SAFETY: ours; who has kept a pointer gets a SIGSEGV, as told.
            answer = unsafe { mm::munmap(self.start.cast(), len) };
            if answer != Err(Errno::EINVAL) {
                break;
            }
        }
        answer
    }
}

impl Drop for MappedRegion {
    fn drop(&mut self) {
        if self.unmap().is_ok() {
            // SAFETY: not used after this. Where the memory could not be
            // unmapped, it stays open: a stall, never zeros.
            unsafe { ManuallyDrop::drop(&mut self.keeper) };
        }
    }
}

impl fmt::Debug for MappedRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedRegion")
            .field("range", &self.range())
            .field("ioctls", &self.ioctls)
            .finish()
    }
}
