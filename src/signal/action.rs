//! What is done when a signal arrives, and on which stack.

use super::{SIGSET_SIZE, SigSet, Siginfo, Signal};
use crate::errno::Errno;
use crate::flags::flags;
use crate::syscall::syscall_out;
use crate::{arch, nr};
use core::ffi::c_void;
use core::fmt;
use core::mem::transmute;

flags! {
    /// `SA_*`: how a signal is handled.
    pub struct SaFlags: u64 {
        /// `SA_NOCLDSTOP`: `SIGCHLD` only for children that end.
        #[doc(alias = "SA_NOCLDSTOP")]
        const NOCLDSTOP = 1;
        /// `SA_NOCLDWAIT`: children that end leave no zombie.
        #[doc(alias = "SA_NOCLDWAIT")]
        const NOCLDWAIT = 2;
        /// `SA_SIGINFO`: the handler takes three arguments. Set and cleared
        /// by the constructors of [`Sigaction`], never by hand.
        #[doc(alias = "SA_SIGINFO")]
        const SIGINFO = 4;
        /// `SA_UNSUPPORTED`: no flag, ever. A kernel that clears it when the
        /// action is read back clears all that it does not know (since
        /// Linux 5.11).
        #[doc(alias = "SA_UNSUPPORTED")]
        const UNSUPPORTED = 0x400;
        /// `SA_EXPOSE_TAGBITS`: tags stay in `si_addr` (since Linux 5.11).
        #[doc(alias = "SA_EXPOSE_TAGBITS")]
        const EXPOSE_TAGBITS = 0x800;
        /// `SA_RESTORER`: the action says where a handler returns to. Set by
        /// the constructors of [`Sigaction`]; x86_64 cannot do without.
        #[doc(alias = "SA_RESTORER")]
        const RESTORER = 0x0400_0000;
        /// `SA_ONSTACK`: on the stack of [`sigaltstack`], if there is one.
        #[doc(alias = "SA_ONSTACK")]
        const ONSTACK = 0x0800_0000;
        /// `SA_RESTART`: calls that can be repeated are, and do not say `EINTR`.
        #[doc(alias = "SA_RESTART")]
        const RESTART = 0x1000_0000;
        /// `SA_NODEFER`: the signal is not blocked while its handler runs.
        #[doc(alias = "SA_NODEFER")]
        const NODEFER = 0x4000_0000;
        /// `SA_RESETHAND`: back to the default action before the handler runs.
        #[doc(alias = "SA_RESETHAND")]
        const RESETHAND = 0x8000_0000;
        const _ = !0;
    }
}

/// A handler that takes the signal.
pub type Handler = unsafe extern "C" fn(Signal);

/// A handler that takes the signal, what is known about it, and the
/// interrupted context (`ucontext_t`).
pub type InfoHandler = unsafe extern "C" fn(Signal, &mut Siginfo, *mut c_void);

/// `struct sigaction` as the kernel has it: what is done about a signal.
///
/// The constructors know how a handler returns: `SA_RESTORER` and the address
/// of an instruction sequence that calls `rt_sigreturn` belong to each. What
/// [`sigaction`] gives back as the former action is kept bit for bit, so that
/// putting it back works for the action of a libc too.
///
/// Manual page: [sigaction(2)](https://man7.org/linux/man-pages/man2/sigaction.2.html).
#[derive(Clone, Copy)]
#[repr(C)]
#[doc(alias = "struct sigaction")]
pub struct Sigaction {
    sa_handler: *const c_void,
    sa_flags: SaFlags,
    sa_restorer: *const c_void,
    sa_mask: SigSet,
}

// SAFETY: an address of code, and numbers.
unsafe impl Send for Sigaction {}
// SAFETY: an address of code, and numbers.
unsafe impl Sync for Sigaction {}

/// What a [`Sigaction`] does.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Disposition {
    /// `SIG_DFL`: what the kernel does for this signal.
    Default,
    /// `SIG_IGN`: nothing.
    Ignore,
    /// A handler of one argument.
    Handler(Handler),
    /// A handler of three arguments.
    Info(InfoHandler),
}

const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;

impl Sigaction {
    /// `SIG_DFL`: the default action.
    #[doc(alias = "SIG_DFL")]
    pub const DEFAULT: Self = Self::bare(SIG_DFL);

    /// `SIG_IGN`: ignored. It stays so through `execve`.
    #[doc(alias = "SIG_IGN")]
    pub const IGNORE: Self = Self::bare(SIG_IGN);

    const fn bare(handler: usize) -> Self {
        Self {
            sa_handler: core::ptr::without_provenance(handler),
            sa_flags: SaFlags::empty(),
            sa_restorer: core::ptr::null(),
            sa_mask: SigSet::EMPTY,
        }
    }

    const fn handled(handler: *const c_void, flags: SaFlags) -> Self {
        Self {
            sa_handler: handler,
            sa_flags: flags.union(SaFlags::RESTORER),
            sa_restorer: arch::RESTORER,
            sa_mask: SigSet::EMPTY,
        }
    }

    /// `handler` is called with the number of the signal.
    #[inline]
    pub const fn handler(handler: Handler) -> Self {
        Self::handled(handler as *const c_void, SaFlags::empty())
    }

    /// `handler` is called with the signal, what is known about it
    /// (`SA_SIGINFO`) and the context.
    #[inline]
    pub const fn info(handler: InfoHandler) -> Self {
        Self::handled(handler as *const c_void, SaFlags::SIGINFO)
    }

    /// With these flags as well. `SIGINFO` and `RESTORER` are the
    /// constructor's business, and left out.
    #[inline]
    #[must_use]
    pub const fn flags(mut self, flags: SaFlags) -> Self {
        let ours = SaFlags::SIGINFO.union(SaFlags::RESTORER);
        self.sa_flags = self.sa_flags.union(flags.difference(ours));
        self
    }

    /// With these signals blocked while the handler runs, besides the signal
    /// itself.
    #[inline]
    #[must_use]
    pub const fn mask(mut self, mask: SigSet) -> Self {
        self.sa_mask = mask;
        self
    }

    /// `sa_flags`.
    #[inline]
    pub const fn sa_flags(&self) -> SaFlags {
        self.sa_flags
    }

    /// `sa_mask`.
    #[inline]
    pub const fn sa_mask(&self) -> SigSet {
        self.sa_mask
    }

    /// What it does; for a handler that passes a signal on to the former one.
    #[inline]
    pub fn disposition(&self) -> Disposition {
        match self.sa_handler.addr() {
            SIG_DFL => return Disposition::Default,
            SIG_IGN => return Disposition::Ignore,
            _ => {}
        }
        // What is left is the function that somebody gave to the kernel, and
        // SA_SIGINFO says of which type. To call it is unsafe.
        if self.sa_flags.contains(SaFlags::SIGINFO) {
            // SAFETY: not null; see above.
            Disposition::Info(unsafe { transmute::<*const c_void, InfoHandler>(self.sa_handler) })
        } else {
            // SAFETY: not null; see above.
            Disposition::Handler(unsafe { transmute::<*const c_void, Handler>(self.sa_handler) })
        }
    }
}

impl fmt::Debug for Sigaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sigaction")
            .field("sa_handler", &self.sa_handler)
            .field("sa_flags", &self.sa_flags)
            .field("sa_restorer", &self.sa_restorer)
            .field("sa_mask", &self.sa_mask)
            .finish()
    }
}

/// `rt_sigaction(signum, act, oldact, 8)`: sets what this process does about a
/// signal, and gives what it did before.
///
/// # Safety
///
/// The action is the process's, for all its threads and all that is linked
/// into it. Nobody else may rely on the former one (std's handler for
/// `SIGSEGV` and `SIGBUS` finds stack overflows; to ignore `SIGPIPE` is std's
/// choice), or the new one passes on what is theirs.
///
/// A handler runs between any two instructions, of any thread that does not
/// block the signal. It must do only what is sound there: system calls of this
/// crate, atomics, memory that nothing else holds a reference to. No lock, no
/// allocation, and in a program with libc nothing of it that is not
/// async-signal-safe. It must not unwind: a panic aborts. A handler for a
/// fault of this thread that returns repeats the instruction.
///
/// # Errors
///
/// `EINVAL`: `SIGKILL` or `SIGSTOP`, which nothing can change.
///
/// ```
/// use barecall::signal::{self, SaFlags, Sigaction, Signal};
/// use core::sync::atomic::{AtomicI32, Ordering};
///
/// static SEEN: AtomicI32 = AtomicI32::new(0);
///
/// extern "C" fn on_signal(signal: Signal) {
///     SEEN.store(signal.as_raw(), Ordering::Relaxed);
/// }
///
/// let action = Sigaction::handler(on_signal).flags(SaFlags::RESTART);
/// // SAFETY: the handler only stores to an atomic, and nobody else here uses SIGUSR2.
/// let before = unsafe { signal::sigaction(Signal::SIGUSR2, &action) }?;
/// signal::raise(Signal::SIGUSR2)?;
/// assert_eq!(SEEN.load(Ordering::Relaxed), Signal::SIGUSR2.as_raw());
/// // SAFETY: as it was.
/// unsafe { signal::sigaction(Signal::SIGUSR2, &before) }?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [sigaction(2)](https://man7.org/linux/man-pages/man2/sigaction.2.html).
#[inline]
#[doc(alias = "rt_sigaction")]
pub unsafe fn sigaction(signal: Signal, action: &Sigaction) -> Result<Sigaction, Errno> {
    // SAFETY: two kernel structures, one of them ours to be written; the rest
    // is the caller's promise.
    unsafe { syscall_out!(Sigaction; nr::RT_SIGACTION, signal, &raw const *action; _, SIGSET_SIZE) }
}

/// `rt_sigaction(signum, NULL, oldact, 8)`: what this process does about a
/// signal.
///
/// # Errors
///
/// None for any [`Signal`].
///
/// ```
/// use barecall::signal::{self, Disposition, Signal};
///
/// let action = signal::sigaction_get(Signal::SIGKILL)?;
/// assert!(matches!(action.disposition(), Disposition::Default));
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [sigaction(2)](https://man7.org/linux/man-pages/man2/sigaction.2.html).
#[inline]
pub fn sigaction_get(signal: Signal) -> Result<Sigaction, Errno> {
    let none = core::ptr::null::<Sigaction>();
    // SAFETY: only reads, into a structure of ours.
    unsafe { syscall_out!(Sigaction; nr::RT_SIGACTION, signal, none; _, SIGSET_SIZE) }
}

flags! {
    /// `SS_*`: how a thread's signal stack is, or is to be.
    pub struct SsFlags: u32 {
        /// `SS_ONSTACK`: a handler runs on it now.
        #[doc(alias = "SS_ONSTACK")]
        const ONSTACK = 1;
        /// `SS_DISABLE`: there is none.
        #[doc(alias = "SS_DISABLE")]
        const DISABLE = 2;
        /// `SS_AUTODISARM`: none while a handler runs on it, so that the
        /// handler may leave by another way than its return (since Linux 4.7).
        #[doc(alias = "SS_AUTODISARM")]
        const AUTODISARM = 1 << 31;
        const _ = !0;
    }
}

/// `stack_t`: the stack for handlers with [`SaFlags::ONSTACK`].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "struct sigaltstack")]
#[doc(alias = "stack_t")]
pub struct SigStack {
    ss_sp: *mut c_void,
    ss_flags: SsFlags,
    ss_size: usize,
}

impl SigStack {
    /// `SS_DISABLE`: no stack of its own.
    pub const DISABLE: Self = Self {
        ss_sp: core::ptr::null_mut(),
        ss_flags: SsFlags::DISABLE,
        ss_size: 0,
    };

    /// `size` bytes from `lowest` on.
    #[inline]
    pub const fn new(lowest: *mut c_void, size: usize) -> Self {
        Self {
            ss_sp: lowest,
            ss_flags: SsFlags::empty(),
            ss_size: size,
        }
    }

    /// With these flags: [`SsFlags::AUTODISARM`].
    #[inline]
    #[must_use]
    pub const fn flags(mut self, flags: SsFlags) -> Self {
        self.ss_flags = flags;
        self
    }

    /// `ss_sp`: the lowest address.
    #[inline]
    pub const fn ss_sp(&self) -> *mut c_void {
        self.ss_sp
    }

    /// `ss_flags`.
    #[inline]
    pub const fn ss_flags(&self) -> SsFlags {
        self.ss_flags
    }

    /// `ss_size`: how many bytes it has.
    #[inline]
    pub const fn ss_size(&self) -> usize {
        self.ss_size
    }
}

/// `sigaltstack(ss, old_ss)`: sets this thread's stack for signal handlers,
/// and gives the former one.
///
/// # Safety
///
/// The memory is valid to write, used for nothing else, and stays so until
/// this thread has another stack set, or has ended. The former stack may be
/// somebody's who relies on it (std sets one to tell of stack overflows).
///
/// # Errors
///
/// `ENOMEM`: smaller than the kernel needs (`AT_MINSIGSTKSZ`: 2 KiB at least, some
/// 3.5 KiB with AVX-512, 5 KiB on aarch64 and more with SVE). `EPERM`: a
/// handler runs on the present stack. `EINVAL`: an unknown flag.
///
/// ```
/// use barecall::signal::{self, SigStack, SsFlags};
///
/// let stack = Box::leak(Box::new([0_u8; 65536]));
/// let new = SigStack::new(stack.as_mut_ptr().cast(), stack.len());
/// // SAFETY: leaked memory, and the former stack is put back.
/// unsafe {
///     let former = signal::sigaltstack(&new)?;
///     assert_eq!(signal::sigaltstack_get()?.ss_size(), 65536);
///     signal::sigaltstack(&former)?;
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [sigaltstack(2)](https://man7.org/linux/man-pages/man2/sigaltstack.2.html).
#[inline]
pub unsafe fn sigaltstack(stack: &SigStack) -> Result<SigStack, Errno> {
    // SAFETY: two kernel structures, one of them ours to be written; the rest
    // is the caller's promise.
    unsafe { syscall_out!(SigStack; nr::SIGALTSTACK, &raw const *stack; _) }
}

/// `sigaltstack(NULL, old_ss)`: this thread's stack for signal handlers.
///
/// # Errors
///
/// None.
///
/// ```
/// use barecall::signal;
///
/// let stack = signal::sigaltstack_get()?;
/// println!("{} bytes, {:?}", stack.ss_size(), stack.ss_flags());
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [sigaltstack(2)](https://man7.org/linux/man-pages/man2/sigaltstack.2.html).
#[inline]
pub fn sigaltstack_get() -> Result<SigStack, Errno> {
    // SAFETY: only reads, into a structure of ours.
    unsafe { syscall_out!(SigStack; nr::SIGALTSTACK, core::ptr::null::<SigStack>(); _) }
}
