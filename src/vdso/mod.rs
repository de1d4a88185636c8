//! The vDSO: system calls that the kernel answers without being entered.
//!
//! The kernel maps a small ELF image into every process, whose functions read
//! the clock from memory that the kernel keeps up to date: about 25 ns where
//! the call takes 150. [`Vdso`] is what was found in it, a value of a few
//! pointers which belongs to the caller; there is no static behind it. Find it
//! once, and pass it on, or keep it where your program keeps such things.
//!
//! ```
//! use barecall::auxv::{Auxv, Entry};
//! use barecall::time::ClockId;
//! use barecall::vdso::Vdso;
//!
//! let mut entries = [Entry::NULL; Auxv::ROOM];
//! let auxv = Auxv::read_proc(&mut entries)?;
//! // SAFETY: /proc/self/auxv says what the kernel mapped; nobody has unmapped
//! // it, nor lied by PR_SET_MM.
//! let vdso = unsafe { Vdso::from_auxv(auxv) };
//!
//! let start = vdso.clock_gettime_or_syscall(ClockId::MONOTONIC)?;
//! let end = vdso.clock_gettime_or_syscall(ClockId::MONOTONIC)?;
//! assert!(start <= end);
//! # Ok::<(), barecall::Errno>(())
//! ```
//!
//! What a kernel, an architecture or an emulator does not have is `ENOSYS`,
//! without a system call, unless the function's name ends in `_or_syscall`.
//! The kernel's own code makes one where it must: for a clock that has no
//! memory to be read from (`PROCESS_CPUTIME_ID`), when the machine's clock
//! source cannot be read by programs, and to reseed `getrandom`.
//!
//! Manual page: [vdso(7)](https://man7.org/linux/man-pages/man7/vdso.7.html).

mod getrandom;
mod parse;

pub use getrandom::{GetrandomParams, State, StatePool};
pub use parse::{BadImage, Image, Offsets, Symbol, Symbols, parse};

use crate::auxv::Auxv;
use crate::errno::Errno;
use crate::syscall::syscall_zero;
use crate::system::GetrandomFlags;
use crate::time::{self, ClockId, Timespec, Timeval, Timezone};
use crate::{nr, system};
use core::ffi::{c_int, c_long, c_uint, c_void};
use core::mem::{MaybeUninit, transmute};

type ClockFn = unsafe extern "C" fn(c_int, *mut Timespec) -> c_int;
type GettimeofdayFn = unsafe extern "C" fn(*mut Timeval, *mut Timezone) -> c_int;
type TimeFn = unsafe extern "C" fn(*mut i64) -> c_long;
type GetcpuFn = unsafe extern "C" fn(*mut c_uint, *mut c_uint, *mut c_void) -> c_long;
type GetrandomFn = unsafe extern "C" fn(*mut c_void, usize, c_uint, *mut c_void, usize) -> isize;

/// The functions of this process's vDSO.
///
/// [`Vdso::NONE`] has none of them, which is what a program gets where there
/// is no vDSO. A copy is as good as the original, in every thread and in a
/// forked child; after `execve` it is another one.
#[derive(Clone, Copy, Debug)]
pub struct Vdso {
    clock_gettime: Option<ClockFn>,
    clock_getres: Option<ClockFn>,
    gettimeofday: Option<GettimeofdayFn>,
    time: Option<TimeFn>,
    getcpu: Option<GetcpuFn>,
    getrandom: Option<GetrandomFn>,
}

/// What a function that returns a C int said, when it was not 0.
#[cold]
fn refused(ret: c_int) -> Errno {
    Errno::new(ret.wrapping_neg()).unwrap_or(Errno::EINVAL)
}

impl Vdso {
    /// No vDSO: every function is `ENOSYS`.
    pub const NONE: Self = Self {
        clock_gettime: None,
        clock_getres: None,
        gettimeofday: None,
        time: None,
        getcpu: None,
        getrandom: None,
    };

    /// The vDSO that `AT_SYSINFO_EHDR` of this vector points to, or
    /// [`Vdso::NONE`].
    ///
    /// # Safety
    ///
    /// If the vector has an `AT_SYSINFO_EHDR`, it is the address of this
    /// process's vDSO, as in [`from_image`](Self::from_image). A vector that
    /// came from the kernel says the truth, unless somebody has unmapped the
    /// vDSO, or changed the vector (`PR_SET_MM_AUXV`).
    ///
    /// ```
    /// use barecall::auxv::Auxv;
    /// use barecall::vdso::{Function, Vdso};
    ///
    /// let nothing = Auxv::from_entries(&[]);
    /// // SAFETY: there is no AT_SYSINFO_EHDR.
    /// let vdso = unsafe { Vdso::from_auxv(nothing) };
    /// assert!(!vdso.has(Function::ClockGettime));
    /// ```
    pub unsafe fn from_auxv(auxv: Auxv<'_>) -> Self {
        match auxv.sysinfo_ehdr() {
            // SAFETY: the caller's promise.
            Some(image) => unsafe { Self::from_image(image) },
            None => Self::NONE,
        }
    }

    /// The vDSO at this address.
    ///
    /// # Safety
    ///
    /// `image` is where the kernel mapped the vDSO of this process, all of it,
    /// and it stays mapped as long as the value or a copy of it is used. What
    /// the image says about itself is believed: how long it is, and that its
    /// functions are what they are called.
    pub unsafe fn from_image(image: *const c_void) -> Self {
        // The smallest page of any kernel: that much is mapped, whatever it is.
        const PAGE: usize = 4096;
        // SAFETY: the caller's promise.
        let head = unsafe { core::slice::from_raw_parts(image.cast::<u8>(), PAGE) };
        let Some(len) = parse::loaded_len(head).filter(|&len| isize::try_from(len).is_ok()) else {
            return Self::NONE;
        };
        // SAFETY: the caller's promise, and what the image says of itself.
        let found = parse(unsafe { core::slice::from_raw_parts(image.cast::<u8>(), len) });

        macro_rules! function {
            ($offset:expr, $type:ty) => {
                // SAFETY: the function of this name, which has had this type
                // in every kernel.
                $offset.map(|offset| unsafe {
                    transmute::<*const c_void, $type>(image.wrapping_byte_add(offset))
                })
            };
        }
        Self {
            clock_gettime: function!(found.clock_gettime, ClockFn),
            clock_getres: function!(found.clock_getres, ClockFn),
            gettimeofday: function!(found.gettimeofday, GettimeofdayFn),
            time: function!(found.time, TimeFn),
            getcpu: function!(found.getcpu, GetcpuFn),
            getrandom: function!(found.getrandom, GetrandomFn),
        }
    }

    /// Whether the vDSO has a function. It then has it for as long as the
    /// process lives.
    pub const fn has(&self, function: Function) -> bool {
        match function {
            Function::ClockGettime => self.clock_gettime.is_some(),
            Function::ClockGetres => self.clock_getres.is_some(),
            Function::Gettimeofday => self.gettimeofday.is_some(),
            Function::Time => self.time.is_some(),
            Function::Getcpu => self.getcpu.is_some(),
            Function::Getrandom => self.getrandom.is_some(),
        }
    }

    /// `clock_gettime(clockid, tp)`: what a clock says.
    ///
    /// # Errors
    ///
    /// `ENOSYS`: the vDSO has no such function. `EINVAL`: no such clock.
    ///
    /// ```
    /// # use barecall::{auxv::{Auxv, Entry}, vdso::Vdso, Errno};
    /// use barecall::time::ClockId;
    /// # let mut entries = [Entry::NULL; Auxv::ROOM];
    /// # let auxv = Auxv::read_proc(&mut entries)?;
    /// # // SAFETY: the kernel's vector.
    /// # let vdso = unsafe { Vdso::from_auxv(auxv) };
    /// match vdso.clock_gettime(ClockId::REALTIME) {
    ///     Ok(now) => assert!(now.tv_sec > 0),
    ///     Err(errno) => assert_eq!(errno, Errno::ENOSYS),
    /// }
    /// # Ok::<(), Errno>(())
    /// ```
    ///
    /// Manual page: [clock_gettime(2)](https://man7.org/linux/man-pages/man2/clock_gettime.2.html).
    #[inline]
    pub fn clock_gettime(&self, clock: ClockId) -> Result<Timespec, Errno> {
        // SAFETY: clock_gettime, or none.
        unsafe { ask_clock(self.clock_gettime, clock) }
    }

    /// [`clock_gettime`](Self::clock_gettime), or the system call if the vDSO
    /// has no such function.
    ///
    /// # Errors
    ///
    /// `EINVAL`: no such clock.
    #[inline]
    pub fn clock_gettime_or_syscall(&self, clock: ClockId) -> Result<Timespec, Errno> {
        match self.clock_gettime {
            // SAFETY: clock_gettime.
            function @ Some(_) => unsafe { ask_clock(function, clock) },
            None => time::clock_gettime(clock),
        }
    }

    /// `clock_getres(clockid, res)`: how fine a clock is.
    ///
    /// # Errors
    ///
    /// `ENOSYS`: the vDSO has no such function. `EINVAL`: no such clock.
    ///
    /// See [`getcpu`](Self::getcpu) for an example.
    ///
    /// Manual page: [clock_getres(2)](https://man7.org/linux/man-pages/man2/clock_getres.2.html).
    #[inline]
    pub fn clock_getres(&self, clock: ClockId) -> Result<Timespec, Errno> {
        // SAFETY: clock_getres, or none.
        unsafe { ask_clock(self.clock_getres, clock) }
    }

    /// [`clock_getres`](Self::clock_getres), or the system call if the vDSO
    /// has no such function.
    ///
    /// # Errors
    ///
    /// `EINVAL`: no such clock.
    ///
    /// ```
    /// # use barecall::auxv::{Auxv, Entry};
    /// use barecall::system::GetrandomFlags;
    /// use barecall::time::ClockId;
    /// use barecall::vdso::{StatePool, Vdso};
    /// # let mut entries = [Entry::NULL; Auxv::ROOM];
    /// # let auxv = Auxv::read_proc(&mut entries)?;
    /// # // SAFETY: the kernel's vector.
    /// # let vdso = unsafe { Vdso::from_auxv(auxv) };
    ///
    /// // Also where there is no vDSO at all, these work.
    /// for vdso in [vdso, Vdso::NONE] {
    ///     let fine = vdso.clock_getres_or_syscall(ClockId::MONOTONIC)?;
    ///     assert!(fine.tv_sec == 0 && fine.tv_nsec > 0);
    ///     let now = vdso.gettimeofday_or_syscall()?;
    ///     assert!(now.tv_sec > 0);
    ///     let (_cpu, _node) = vdso.getcpu_or_syscall()?;
    ///
    ///     let pool = StatePool::<1>::map(&vdso).ok();
    ///     let mut state = pool.as_ref().and_then(StatePool::take);
    ///     let mut key = [0; 32];
    ///     let made = vdso.getrandom_or_syscall(&mut key, GetrandomFlags::empty(), state.as_mut())?;
    ///     assert_eq!(made, 32);
    /// }
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    #[inline]
    pub fn clock_getres_or_syscall(&self, clock: ClockId) -> Result<Timespec, Errno> {
        match self.clock_getres {
            // SAFETY: clock_getres.
            function @ Some(_) => unsafe { ask_clock(function, clock) },
            None => time::clock_getres(clock),
        }
    }

    /// `gettimeofday(tv, NULL)`: the time of day, in microseconds.
    ///
    /// # Errors
    ///
    /// `ENOSYS`: the vDSO has no such function.
    ///
    /// See [`getcpu`](Self::getcpu) for an example.
    ///
    /// Manual page: [gettimeofday(2)](https://man7.org/linux/man-pages/man2/gettimeofday.2.html).
    #[inline]
    pub fn gettimeofday(&self) -> Result<Timeval, Errno> {
        let function = self.gettimeofday.ok_or(Errno::ENOSYS)?;
        let mut now = Timeval::default();
        // SAFETY: it fills a timeval.
        match unsafe { function(&raw mut now, core::ptr::null_mut()) } {
            0 => Ok(now),
            ret => Err(refused(ret)),
        }
    }

    /// `gettimeofday(tv, tz)`: the time of day, and the time zone that
    /// somebody once told the kernel.
    ///
    /// # Errors
    ///
    /// `ENOSYS`: the vDSO has no such function.
    ///
    /// See [`getcpu`](Self::getcpu) for an example.
    ///
    /// Manual page: [gettimeofday(2)](https://man7.org/linux/man-pages/man2/gettimeofday.2.html).
    pub fn gettimeofday_tz(&self) -> Result<(Timeval, Timezone), Errno> {
        let function = self.gettimeofday.ok_or(Errno::ENOSYS)?;
        let (mut now, mut zone) = (Timeval::default(), Timezone::default());
        // SAFETY: it fills a timeval and a timezone.
        match unsafe { function(&raw mut now, &raw mut zone) } {
            0 => Ok((now, zone)),
            ret => Err(refused(ret)),
        }
    }

    /// [`gettimeofday`](Self::gettimeofday), or the system call if the vDSO
    /// has no such function.
    ///
    /// # Errors
    ///
    /// None that is known.
    ///
    /// See [`clock_getres_or_syscall`](Self::clock_getres_or_syscall) for an example.
    #[inline]
    pub fn gettimeofday_or_syscall(&self) -> Result<Timeval, Errno> {
        match self.gettimeofday {
            Some(_) => self.gettimeofday(),
            None => time::gettimeofday(),
        }
    }

    /// `time(NULL)`: the seconds since 1970.
    ///
    /// # Errors
    ///
    /// `ENOSYS`: the vDSO has no such function, as always on aarch64.
    ///
    /// Manual page: [time(2)](https://man7.org/linux/man-pages/man2/time.2.html).
    #[inline]
    pub fn time(&self) -> Result<i64, Errno> {
        let function = self.time.ok_or(Errno::ENOSYS)?;
        // SAFETY: null is for who wants no second copy.
        Ok(unsafe { function(core::ptr::null_mut()) })
    }

    /// `getcpu(cpu, node, NULL)`: the processor that this ran on a moment ago,
    /// and its memory node.
    ///
    /// # Errors
    ///
    /// `ENOSYS`: the vDSO has no such function, as always on aarch64.
    ///
    /// ```
    /// # use barecall::{auxv::{Auxv, Entry}, vdso::Vdso};
    /// use barecall::Errno;
    /// use barecall::time::ClockId;
    /// # let mut entries = [Entry::NULL; Auxv::ROOM];
    /// # let auxv = Auxv::read_proc(&mut entries)?;
    /// # // SAFETY: the kernel's vector.
    /// # let vdso = unsafe { Vdso::from_auxv(auxv) };
    ///
    /// match vdso.getcpu() {
    ///     Ok((cpu, node)) => println!("on processor {cpu}, near the memory of node {node}"),
    ///     Err(errno) => assert_eq!(errno, Errno::ENOSYS),
    /// }
    /// match vdso.gettimeofday_tz() {
    ///     Ok((now, _zone)) => assert!(now.tv_sec > 0 && vdso.gettimeofday().is_ok()),
    ///     Err(errno) => assert_eq!(errno, Errno::ENOSYS),
    /// }
    /// match vdso.clock_getres(ClockId::MONOTONIC) {
    ///     Ok(fine) => assert!(fine.tv_nsec > 0),
    ///     Err(errno) => assert_eq!(errno, Errno::ENOSYS),
    /// }
    /// # Ok::<(), Errno>(())
    /// ```
    ///
    /// Manual page: [getcpu(2)](https://man7.org/linux/man-pages/man2/getcpu.2.html).
    #[inline]
    pub fn getcpu(&self) -> Result<(u32, u32), Errno> {
        let function = self.getcpu.ok_or(Errno::ENOSYS)?;
        let (mut cpu, mut node) = (0, 0);
        // SAFETY: it fills two numbers; the third is unused since 2.6.24.
        match unsafe { function(&raw mut cpu, &raw mut node, core::ptr::null_mut()) } {
            0 => Ok((cpu, node)),
            ret => Err(refused(ret as c_int)),
        }
    }

    /// [`getcpu`](Self::getcpu), or the system call if the vDSO has no such
    /// function.
    ///
    /// # Errors
    ///
    /// None that is known.
    ///
    /// See [`clock_getres_or_syscall`](Self::clock_getres_or_syscall) for an example.
    #[inline]
    pub fn getcpu_or_syscall(&self) -> Result<(u32, u32), Errno> {
        match self.getcpu {
            Some(_) => self.getcpu(),
            None => {
                let (mut cpu, mut node) = (0_u32, 0_u32);
                // SAFETY: the kernel fills two numbers.
                unsafe { syscall_zero!(nr::GETCPU, &raw mut cpu, &raw mut node, 0) }?;
                Ok((cpu, node))
            }
        }
    }

    /// `getrandom(buf, len, flags)`: random bytes of the kernel's quality,
    /// with a [`State`] of a [`StatePool`] that this thread holds (since Linux
    /// 6.11, aarch64 6.12).
    ///
    /// Gives how many bytes were made: all of them, unless a signal
    /// interrupted a request of more than 256, or it was for 2 GiB or more. The
    /// kernel says when the state
    /// is too old, and it is reseeded; until the kernel's generator is ready,
    /// the function makes the system call. `RANDOM` together with `INSECURE`,
    /// which that refuses, goes through here.
    ///
    /// # Errors
    ///
    /// `ENOSYS`: the vDSO has no such function. Those of
    /// [`system::getrandom`].
    ///
    /// ```
    /// # use barecall::{auxv::{Auxv, Entry}, vdso::Vdso};
    /// use barecall::system::GetrandomFlags;
    /// use barecall::vdso::{Function, StatePool};
    /// # let mut entries = [Entry::NULL; Auxv::ROOM];
    /// # let auxv = Auxv::read_proc(&mut entries)?;
    /// # // SAFETY: the kernel's vector.
    /// # let vdso = unsafe { Vdso::from_auxv(auxv) };
    ///
    /// if vdso.has(Function::Getrandom) {
    ///     let pool = StatePool::<1>::map(&vdso)?;
    ///     if let Some(mut state) = pool.take() {
    ///         let mut key = [0; 32];
    ///         assert_eq!(vdso.getrandom(&mut key, GetrandomFlags::empty(), &mut state)?, 32);
    ///     }
    /// }
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page: [getrandom(2)](https://man7.org/linux/man-pages/man2/getrandom.2.html).
    #[inline]
    pub fn getrandom(
        &self,
        buf: &mut [u8],
        flags: GetrandomFlags,
        state: &mut State<'_>,
    ) -> Result<usize, Errno> {
        // SAFETY: as many bytes as the buffer has.
        unsafe { self.getrandom_raw(buf.as_mut_ptr(), buf.len(), flags, state) }
    }

    /// [`getrandom`](Self::getrandom) into memory that need not be
    /// initialised. Gives the bytes that were made.
    ///
    /// # Errors
    ///
    /// As [`getrandom`](Self::getrandom).
    ///
    /// See [`getrandom_params`](Self::getrandom_params) for an example.
    #[inline]
    pub fn getrandom_uninit<'buf>(
        &self,
        buf: &'buf mut [MaybeUninit<u8>],
        flags: GetrandomFlags,
        state: &mut State<'_>,
    ) -> Result<&'buf mut [u8], Errno> {
        let start = buf.as_mut_ptr().cast::<u8>();
        // SAFETY: as many bytes as the buffer has, of which the first `made`
        // are initialised then.
        unsafe {
            let made = self.getrandom_raw(start, buf.len(), flags, state)?;
            Ok(core::slice::from_raw_parts_mut(start, made.min(buf.len())))
        }
    }

    /// [`getrandom`](Self::getrandom), or the system call if the vDSO has no
    /// such function or there is no state.
    ///
    /// # Errors
    ///
    /// Those of [`system::getrandom`].
    ///
    /// See [`clock_getres_or_syscall`](Self::clock_getres_or_syscall) for an example.
    #[inline]
    pub fn getrandom_or_syscall(
        &self,
        buf: &mut [u8],
        flags: GetrandomFlags,
        state: Option<&mut State<'_>>,
    ) -> Result<usize, Errno> {
        match (self.getrandom, state) {
            (Some(_), Some(state)) => self.getrandom(buf, flags, state),
            _ => system::getrandom(buf, flags),
        }
    }

    /// # Safety
    ///
    /// `len` bytes may be written at `buf`.
    #[inline]
    unsafe fn getrandom_raw(
        &self,
        buf: *mut u8,
        len: usize,
        flags: GetrandomFlags,
        state: &mut State<'_>,
    ) -> Result<usize, Errno> {
        let function = self.getrandom.ok_or(Errno::ENOSYS)?;
        let (opaque, opaque_len) = state.parts();
        // SAFETY: the caller's buffer, and a state of the size that the kernel
        // asked for, which is ours alone while it is borrowed.
        let ret = unsafe { function(buf.cast(), len, flags.bits(), opaque, opaque_len) };
        Errno::decode(ret as usize)
    }
}

/// # Safety
///
/// `function` is `clock_gettime` or `clock_getres`.
#[inline]
unsafe fn ask_clock(function: Option<ClockFn>, clock: ClockId) -> Result<Timespec, Errno> {
    let Some(function) = function else {
        return Err(Errno::ENOSYS);
    };
    let mut answer = MaybeUninit::<Timespec>::uninit();
    // SAFETY: it fills a timespec if it answers 0.
    unsafe {
        match function(clock.as_raw(), answer.as_mut_ptr()) {
            0 => Ok(answer.assume_init()),
            ret => Err(refused(ret)),
        }
    }
}

/// What a [`Vdso`] can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Function {
    /// [`Vdso::clock_gettime`].
    ClockGettime,
    /// [`Vdso::clock_getres`].
    ClockGetres,
    /// [`Vdso::gettimeofday`].
    Gettimeofday,
    /// [`Vdso::time`]; never on aarch64.
    Time,
    /// [`Vdso::getcpu`]; never on aarch64.
    Getcpu,
    /// [`Vdso::getrandom`]; since Linux 6.11, on aarch64 6.12.
    Getrandom,
}
