//! Registering, protecting, waking.

use super::abi::{
    self, UffdioRange, UffdioRegister, UffdioRwprotect, UffdioSetMode, UffdioWriteprotect,
};
use super::{Features, Ioctls, PageRange, Userfaultfd};
use crate::errno::Errno;
use crate::fd::AsFd;
use crate::flags::flags;
use crate::nr;
use crate::syscall::syscall_zero;

flags! {
    /// `UFFDIO_REGISTER_MODE_*`: which faults of a range are handled.
    pub struct RegisterModes: u64 {
        /// `UFFDIO_REGISTER_MODE_MISSING`: there is no page.
        #[doc(alias = "UFFDIO_REGISTER_MODE_MISSING")]
        const MISSING = 1 << 0;
        /// `UFFDIO_REGISTER_MODE_WP`: a write to a page that is
        /// write-protected (since Linux 5.7, on aarch64 6.10).
        #[doc(alias = "UFFDIO_REGISTER_MODE_WP")]
        const WP = 1 << 1;
        /// `UFFDIO_REGISTER_MODE_MINOR`: the file has the page, the mapping has
        /// not (since Linux 5.13; for memfd and tmpfs 5.14).
        #[doc(alias = "UFFDIO_REGISTER_MODE_MINOR")]
        const MINOR = 1 << 2;
        /// `UFFDIO_REGISTER_MODE_RWP`: any touch of a page that is protected
        /// so; not together with `WP`, and only when [`Features::RWP`] was
        /// asked for (since Linux 7.3).
        #[doc(alias = "UFFDIO_REGISTER_MODE_RWP")]
        const RWP = 1 << 3;
        const _ = !0;
    }
}

flags! {
    /// `UFFDIO_WRITEPROTECT_MODE_*` and `UFFDIO_RWPROTECT_MODE_*`, for lifting
    /// a protection.
    pub struct UnprotectFlags: u64 {
        /// `UFFDIO_WRITEPROTECT_MODE_DONTWAKE`,
        /// `UFFDIO_RWPROTECT_MODE_DONTWAKE`: threads that wait go on waiting.
        #[doc(alias = "UFFDIO_WRITEPROTECT_MODE_DONTWAKE")]
        #[doc(alias = "UFFDIO_RWPROTECT_MODE_DONTWAKE")]
        const DONTWAKE = 1 << 1;
        const _ = !0;
    }
}

/// # Registering, protecting, waking
impl Userfaultfd {
    /// `ioctl(fd, UFFDIO_REGISTER, arg)`: from now on, these faults in `range`
    /// are this descriptor's.
    ///
    /// Gives the requests that the kernel takes for the range. For memory of
    /// one's own, [`MappedRegion`](super::MappedRegion) does it safely.
    ///
    /// Registering again **replaces** the modes, unless the new ones are all
    /// there already: say the old ones too. (`MISSING`, then `WP` alone, and
    /// missing pages are zeros.)
    ///
    /// # Errors
    ///
    /// `EINVAL`: not whole pages, not mapped; no mode, or one that this kernel
    /// or this memory lacks (`MINOR` of anonymous memory, anything of a file on
    /// a disk but `WP` alone with [`Features::WP_ASYNC`](super::Features::WP_ASYNC)), or `WP` with `RWP`; `WP` on an aarch64 kernel that
    /// [only claims it](super::Features). `EBUSY`: another userfaultfd has it;
    /// since Linux 7.3, also dropping `WP` or `RWP`. `EPERM`: a shared mapping
    /// of a file that may not be written. `ENOMEM`: the process is gone.
    ///
    /// # Safety
    ///
    /// The range is memory of the process that the descriptor was opened in,
    /// and may come to mean what userfaultfds do with it:
    ///
    /// - a page that is not in the page table (never touched, discarded, or of
    ///   a file and given back by the kernel) gets whatever contents *any*
    ///   userfaultfd of this process gives it, by functions that are safe:
    ///   the kernel does not ask whose registration it is. When it is
    ///   unregistered, or the last descriptor is closed, the contents are
    ///   zeros. Nothing may rely on what such a page contains until it has
    ///   been looked at;
    /// - touching it can wait for ever, or be a `SIGBUS`. Memory that the
    ///   handler itself needs (its stack, its source) must not be in it.
    ///
    /// ```
    /// use barecall::userfaultfd::{Ioctls, PageRange, RegisterModes};
    /// # use barecall::userfaultfd::UserfaultfdOptions;
    /// # let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    /// use barecall::mm::{self, MapFlags, ProtFlags};
    ///
    /// let len = 1 << 16;
    /// // SAFETY: a new mapping, that nobody else knows of; pointers only.
    /// let ioctls = unsafe {
    ///     let (prot, flags) = (ProtFlags::READ, MapFlags::PRIVATE | MapFlags::ANONYMOUS);
    ///     let memory = mm::mmap_anonymous(core::ptr::null_mut(), len, prot, flags)?;
    ///     uffd.register(PageRange::of_memory(memory, len), RegisterModes::MISSING)?
    /// };
    /// assert!(ioctls.contains(Ioctls::COPY | Ioctls::WAKE));
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page:
    /// [UFFDIO_REGISTER(2const)](https://man7.org/linux/man-pages/man2/UFFDIO_REGISTER.2const.html).
    #[doc(alias = "UFFDIO_REGISTER")]
    pub unsafe fn register(&self, range: PageRange, modes: RegisterModes) -> Result<Ioctls, Errno> {
        if modes.contains(RegisterModes::WP) && !self.wp {
            // The kernel would say yes, and trap nothing.
            return Err(Errno::EINVAL);
        }
        let mut arg = UffdioRegister {
            range: range.to_abi(),
            mode: modes.bits(),
            ioctls: 0,
        };
        // SAFETY: the structure that it takes; the memory is the caller's
        // promise.
        unsafe { syscall_zero!(nr::IOCTL, self.as_fd(), abi::UFFDIO_REGISTER, &raw mut arg) }?;
        Ok(Ioctls::from_bits_retain(arg.ioctls))
    }

    /// `ioctl(fd, UFFDIO_UNREGISTER, arg)`, then `UFFDIO_WAKE`: the faults in
    /// `range` are the kernel's again.
    ///
    /// **A thread that waits for a missing page gets zeros**, and so does who
    /// comes later: fill first. Protections are lifted. The kernel itself wakes
    /// only who waits for a missing page; a thread that waits for anything else
    /// would wait for ever, hence the second request, which is made even when
    /// the first fails.
    ///
    /// # Errors
    ///
    /// `EINVAL`: not whole pages, not mapped; since Linux 6.18, registered by
    /// another userfaultfd. (Until then, it is simply taken away from it.)
    /// `ENOMEM`: the process is gone.
    ///
    /// ```
    /// use barecall::userfaultfd::{CopyFlags, MappedRegion, RegisterModes, Stop};
    /// # use barecall::userfaultfd::UserfaultfdOptions;
    /// # let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    ///
    /// let region = MappedRegion::anonymous(&uffd, 0x4000, RegisterModes::MISSING)?;
    /// uffd.fill_copy(region.range().start(), &[7; 0x2000], CopyFlags::empty()).all()?;
    /// uffd.unregister(region.range())?;
    ///
    /// // What was filled stays; the rest is what the kernel gives: zeros.
    /// let mut bytes = [0xff; 2];
    /// region.read_at(&mut bytes, 0x1fff);
    /// assert_eq!(bytes, [7, 0]);
    /// let filled = uffd.copy_once(region.range().start() + 0x3000, &[7; 0x1000], CopyFlags::empty());
    /// assert_eq!(filled.stop, Some(Stop::Unmapped));
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page:
    /// [UFFDIO_UNREGISTER(2const)](https://man7.org/linux/man-pages/man2/UFFDIO_UNREGISTER.2const.html).
    #[doc(alias = "UFFDIO_UNREGISTER")]
    pub fn unregister(&self, range: PageRange) -> Result<(), Errno> {
        let unregistered = self.range_request(abi::UFFDIO_UNREGISTER, range);
        let woken = self.wake(range);
        unregistered.and(woken)
    }

    /// `ioctl(fd, UFFDIO_WAKE, arg)`: who waits in `range` tries again.
    ///
    /// When the page is still missing or protected, it faults again, and there
    /// is a new message.
    ///
    /// # Errors
    ///
    /// `EINVAL`: not whole pages. Never because nobody waits.
    ///
    /// Many pages, and one wake-up at the end:
    ///
    /// ```
    /// use barecall::userfaultfd::{CopyFlags, Event, MappedRegion, RegisterModes, UserfaultfdOptions};
    /// use std::thread;
    ///
    /// const PAGE: usize = 4096;
    /// let uffd = UserfaultfdOptions::new().blocking(true).open_any()?.userfaultfd;
    /// let region = MappedRegion::anonymous(&uffd, 16 * PAGE, RegisterModes::MISSING)?;
    /// let start = region.range().start();
    ///
    /// thread::scope(|scope| {
    ///     let reader = scope.spawn(|| {
    ///         let mut byte = [0];
    ///         region.read_at(&mut byte, 5 * PAGE);
    ///         byte[0]
    ///     });
    ///     let parked = match uffd.read_event()? {
    ///         Event::Missing(fault) => fault.park(),
    ///         other => panic!("{other:?}"),
    ///     };
    ///     for page in 0..16 {
    ///         let contents = [page as u8; PAGE];
    ///         uffd.copy_once(start + page * PAGE, &contents, CopyFlags::DONTWAKE).all()?;
    ///     }
    ///     // The one page; or whoever waits in the region.
    ///     uffd.wake_at(parked.address())?;
    ///     uffd.wake(region.range())?;
    ///     assert_eq!(reader.join().unwrap(), 5);
    ///     Ok::<(), barecall::Errno>(())
    /// })?;
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page:
    /// [UFFDIO_WAKE(2const)](https://man7.org/linux/man-pages/man2/UFFDIO_WAKE.2const.html).
    #[doc(alias = "UFFDIO_WAKE")]
    pub fn wake(&self, range: PageRange) -> Result<(), Errno> {
        self.range_request(abi::UFFDIO_WAKE, range)
    }

    fn range_request(&self, request: u32, range: PageRange) -> Result<(), Errno> {
        let mut arg: UffdioRange = range.to_abi();
        // SAFETY: the structure that both requests take. What becomes of the
        // memory, who registered it has agreed to.
        unsafe { syscall_zero!(nr::IOCTL, self.as_fd(), request, &raw mut arg) }
    }

    /// `UFFDIO_WAKE` of the page that `address` is in: made for 4 KiB, and when
    /// that is no page here, for 16 and 64 KiB.
    ///
    /// # Errors
    ///
    /// As [`Self::wake`].
    ///
    /// See [`Self::wake`] for an example.
    pub fn wake_at(&self, address: usize) -> Result<(), Errno> {
        // The kernel compares addresses, so that also for a huge page the
        // smallest range will do; but it must be a page.
        self.wake(PageRange::page_of(address, 4 << 10))
            .or_else(|_| self.wake(PageRange::page_of(address, 16 << 10)))
            .or_else(|_| self.wake(PageRange::page_of(address, 64 << 10)))
    }

    /// `ioctl(fd, UFFDIO_WRITEPROTECT, arg)` with `MODE_WP`: writes to `range`
    /// are faults from now on (since Linux 5.7, on aarch64 6.10).
    ///
    /// Anonymous pages that are not there yet are protected only with
    /// [`Features::WP_UNPOPULATED`]; without it, *they stay writable, and
    /// nothing says so*.
    ///
    /// # Errors
    ///
    /// `ENOENT`: not registered for it. `EAGAIN`: the process is changing its
    /// mappings, as for [`Stop::Changing`](super::Stop::Changing). `EINVAL`:
    /// not whole pages. `ESRCH`: the process is gone. After an error a part of
    /// the range may be protected.
    ///
    /// ```
    /// use barecall::userfaultfd::{
    ///     CopyFlags, Event, Features, MappedRegion, PageRange, RegisterModes, UnprotectFlags,
    ///     UserfaultfdOptions,
    /// };
    /// use std::thread;
    ///
    /// const PAGE: usize = 4096;
    /// let options = UserfaultfdOptions::new().blocking(true).want(Features::PAGEFAULT_FLAG_WP);
    /// let opened = options.open_any()?;
    /// if opened.dropped.contains(Features::PAGEFAULT_FLAG_WP) {
    ///     return Ok(()); // On aarch64, before Linux 6.10.
    /// }
    /// let uffd = opened.userfaultfd;
    /// let region = MappedRegion::anonymous(&uffd, 2 * PAGE, RegisterModes::MISSING | RegisterModes::WP)?;
    /// let start = region.range().start();
    /// uffd.fill_copy(start, &[0; 2 * PAGE], CopyFlags::empty()).all()?;
    ///
    /// uffd.write_protect(region.range())?;
    /// uffd.write_unprotect(PageRange::new(start + PAGE, PAGE), UnprotectFlags::empty())?;
    /// thread::scope(|scope| {
    ///     let writer = scope.spawn(|| region.write_at(&[1], 0));
    ///     let before = match uffd.read_event()? {
    ///         Event::WriteProtect(fault) => {
    ///             // Before the write: a copy of the page for the snapshot.
    ///             let mut before = [0xff; PAGE];
    ///             region.read_at(&mut before, 0);
    ///             fault.unprotect(PAGE)?;
    ///             before
    ///         }
    ///         other => panic!("{other:?}"),
    ///     };
    ///     assert_eq!(before, [0; PAGE]);
    ///     assert_eq!(writer.join().unwrap(), 1);
    ///     Ok::<(), barecall::Errno>(())
    /// })?;
    /// // The other page is not protected any more: no fault.
    /// region.write_at(&[2], PAGE);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page:
    /// [UFFDIO_WRITEPROTECT(2const)](https://man7.org/linux/man-pages/man2/UFFDIO_WRITEPROTECT.2const.html).
    #[doc(alias = "UFFDIO_WRITEPROTECT")]
    #[doc(alias = "UFFDIO_WRITEPROTECT_MODE_WP")]
    pub fn write_protect(&self, range: PageRange) -> Result<(), Errno> {
        self.set_write_protection(range, abi::UFFDIO_WRITEPROTECT_MODE_WP)
    }

    /// `ioctl(fd, UFFDIO_WRITEPROTECT, arg)` without `MODE_WP`: `range` can be
    /// written again; who waits is woken.
    ///
    /// # Errors
    ///
    /// As [`Self::write_protect`].
    ///
    /// See [`Self::write_protect`] for an example.
    ///
    /// Manual page:
    /// [UFFDIO_WRITEPROTECT(2const)](https://man7.org/linux/man-pages/man2/UFFDIO_WRITEPROTECT.2const.html).
    pub fn write_unprotect(&self, range: PageRange, flags: UnprotectFlags) -> Result<(), Errno> {
        self.set_write_protection(range, flags.bits() & !abi::UFFDIO_WRITEPROTECT_MODE_WP)
    }

    fn set_write_protection(&self, range: PageRange, mode: u64) -> Result<(), Errno> {
        let mut arg = UffdioWriteprotect {
            range: range.to_abi(),
            mode,
        };
        // SAFETY: the structure that it takes; it changes no contents.
        unsafe {
            syscall_zero!(
                nr::IOCTL,
                self.as_fd(),
                abi::UFFDIO_WRITEPROTECT,
                &raw mut arg
            )
        }
    }

    /// `ioctl(fd, UFFDIO_RWPROTECT, arg)` with `MODE_RWP`: every touch of the
    /// pages that are in `range` now is a fault (since Linux 7.3).
    ///
    /// Pages that are not there are not protected.
    ///
    /// # Errors
    ///
    /// `ENOENT`: not registered for it. `EAGAIN`: the process is changing its
    /// mappings. `EINVAL`: not whole pages, or the kernel does not know it.
    /// `ESRCH`: the process is gone.
    ///
    /// Which of these pages are used?
    ///
    /// ```
    /// use barecall::pagemap::{Categories, PageRegion, Pagemap, Scan};
    /// use barecall::userfaultfd::{
    ///     CopyFlags, Features, MappedRegion, OpenError, PageRange, RegisterModes, UnprotectFlags,
    ///     UserfaultfdOptions,
    /// };
    ///
    /// const PAGE: usize = 4096;
    /// let options = UserfaultfdOptions::new().require(Features::RWP | Features::RWP_ASYNC);
    /// let uffd = match options.open_any() {
    ///     Ok(opened) => opened.userfaultfd,
    ///     Err(OpenError::Missing(_)) => return Ok(()), // Before Linux 7.3.
    ///     Err(other) => return Err(other.into()),
    /// };
    /// let region = MappedRegion::anonymous(&uffd, 8 * PAGE, RegisterModes::RWP)?;
    /// region.write_at(&[1; 8 * PAGE], 0);
    /// uffd.rw_protect(region.range())?;
    /// let last = PageRange::new(region.range().start() + 7 * PAGE, PAGE);
    /// uffd.rw_unprotect(last, UnprotectFlags::empty())?;
    ///
    /// // The kernel itself lifts the protection of what is touched,
    /// region.read_at(&mut [0], 3 * PAGE);
    /// // until this: now a touch of another page would be a message.
    /// uffd.set_mode(Features::empty(), Features::RWP_ASYNC)?;
    ///
    /// let used = Scan::new(region.range()).all_of(Categories::ACCESSED);
    /// let mut room = [PageRegion::EMPTY; 8];
    /// let mut pages = 0;
    /// for part in Pagemap::open_self()?.scan(used, &mut room) {
    ///     pages += part?.range().len() / PAGE;
    /// }
    /// assert_eq!(pages, 2);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    #[doc(alias = "UFFDIO_RWPROTECT")]
    #[doc(alias = "UFFDIO_RWPROTECT_MODE_RWP")]
    pub fn rw_protect(&self, range: PageRange) -> Result<(), Errno> {
        self.set_rw_protection(range, abi::UFFDIO_RWPROTECT_MODE_RWP)
    }

    /// `ioctl(fd, UFFDIO_RWPROTECT, arg)` without `MODE_RWP`: `range` can be
    /// touched again; who waits is woken (since Linux 7.3).
    ///
    /// # Errors
    ///
    /// As [`Self::rw_protect`].
    ///
    /// See [`Self::rw_protect`] for an example.
    pub fn rw_unprotect(&self, range: PageRange, flags: UnprotectFlags) -> Result<(), Errno> {
        self.set_rw_protection(range, flags.bits() & !abi::UFFDIO_RWPROTECT_MODE_RWP)
    }

    fn set_rw_protection(&self, range: PageRange, mode: u64) -> Result<(), Errno> {
        let mut arg = UffdioRwprotect {
            range: range.to_abi(),
            mode,
        };
        // SAFETY: the structure that it takes; it changes no contents.
        unsafe { syscall_zero!(nr::IOCTL, self.as_fd(), abi::UFFDIO_RWPROTECT, &raw mut arg) }
    }

    /// `ioctl(fd, UFFDIO_SET_MODE, arg)`: turns asynchronous modes on and off
    /// at run time (since Linux 7.3).
    ///
    /// Only [`Features::RWP_ASYNC`] so far. Turning it on releases who waits
    /// for a page that is protected so; turning it off makes every touch a
    /// message again, which freezes a working set.
    ///
    /// # Errors
    ///
    /// `EINVAL`: another feature, one in both, one whose feature was not asked
    /// for; or the kernel does not know the request.
    ///
    /// See [`Self::rw_protect`] for an example.
    #[doc(alias = "UFFDIO_SET_MODE")]
    pub fn set_mode(&self, enable: Features, disable: Features) -> Result<(), Errno> {
        let mut arg = UffdioSetMode {
            enable: enable.bits(),
            disable: disable.bits(),
        };
        // SAFETY: the structure that it takes; it changes no contents.
        unsafe { syscall_zero!(nr::IOCTL, self.as_fd(), abi::UFFDIO_SET_MODE, &raw mut arg) }
    }
}
