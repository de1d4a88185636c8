//! A thread with a stack of its own.

use super::set_tid_address;
use crate::arch::{self, Reg};
use crate::errno::Errno;
use crate::futex::{self, FutexFlags};
use crate::mm::{self, MapFlags, ProtFlags};
use crate::process::{self, Pid};
use crate::signal::{How, SigSet, sigprocmask};
use crate::syscall::decode;
use crate::time::Timespec;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::fmt;
use core::mem::{self, MaybeUninit};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, Ordering};

// <linux/sched.h>
const CLONE_VM: usize = 0x100;
const CLONE_FS: usize = 0x200;
const CLONE_FILES: usize = 0x400;
const CLONE_SIGHAND: usize = 0x800;
const CLONE_THREAD: usize = 0x1_0000;
const CLONE_SYSVSEM: usize = 0x4_0000;
const CLONE_PARENT_SETTID: usize = 0x10_0000;
const CLONE_CHILD_CLEARTID: usize = 0x20_0000;

const FLAGS: usize = CLONE_VM
    | CLONE_FS
    | CLONE_FILES
    | CLONE_SIGHAND
    | CLONE_THREAD
    | CLONE_SYSVSEM
    | CLONE_PARENT_SETTID
    | CLONE_CHILD_CLEARTID;

/// No access below the stack: as much as the largest page of any kernel, so
/// that it is right for each without asking.
const GUARD: usize = 64 * 1024;

// Who unmaps the stack. Both sides try to leave RUNNING; the second one, who
// cannot, does it.
const RUNNING: u32 = 0;
const RETURNED: u32 = 1;
const DETACHED: u32 = 2;

/// What the thread and its handle share, at the top of the stack's mapping.
///
/// ```text
///  base                                                     base + len
///   | guard, 64 KiB | stack, grows down  <-- | Start<F, T> | Shared<T> |
/// ```
struct Shared<T> {
    /// The thread's number until the kernel clears it: then the thread has
    /// ended, and no longer stands on its stack.
    tid: AtomicU32,
    state: AtomicU32,
    base: *mut c_void,
    len: usize,
    /// What the closure returned, once the state is `RETURNED`.
    value: UnsafeCell<MaybeUninit<T>>,
}

/// What the new thread is given.
struct Start<F, T> {
    shared: *const Shared<T>,
    run: F,
}

/// A mapping that is unmapped when dropped.
struct Mapping {
    base: *mut c_void,
    len: usize,
}

impl Mapping {
    /// `mmap` and `mprotect`: `len` bytes, of which the first [`GUARD`] cannot
    /// be touched.
    fn new(len: usize) -> Result<Self, Errno> {
        let flags = MapFlags::PRIVATE | MapFlags::STACK | MapFlags::NORESERVE;
        let (none, both) = (ProtFlags::NONE, ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a new mapping, somewhere where nothing was. The kernel
        // rounds both lengths up to pages.
        unsafe {
            let base = mm::mmap_anonymous(ptr::null_mut(), len, none, flags)?;
            let mapping = Self { base, len };
            mm::mprotect(
                base.wrapping_byte_add(GUARD),
                len.saturating_sub(GUARD),
                both,
            )?;
            Ok(mapping)
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: ours, and nothing in it is used any more.
        let _ = unsafe { mm::munmap(self.base, self.len) };
    }
}

/// Room for a `U` right below `end`.
fn below<U>(end: *mut c_void) -> *mut U {
    end.wrapping_byte_sub(size_of::<U>())
        .map_addr(|addr| addr & !(align_of::<U>() - 1))
        .cast()
}

/// Guard, stack in whole small pages, and what lies above it, each with room to
/// be aligned.
fn length<F, T>(stack_size: usize) -> Option<usize> {
    stack_size
        .checked_next_multiple_of(4096)?
        .checked_add(GUARD + 16)?
        .checked_add(size_of::<Shared<T>>())?
        .checked_add(align_of::<Shared<T>>())?
        .checked_add(size_of::<Start<F, T>>())?
        .checked_add(align_of::<Start<F, T>>())
}

/// `mmap`, `mprotect` and `clone`: runs `f` in a new thread of this process.
///
/// The thread gets a stack of `stack_size` bytes, in whole pages, with a guard
/// of 64 KiB below: to overflow it is `SIGSEGV`, never another's memory.
/// The closure and what it returns pass over that stack, so they must fit. A
/// signal handler needs `AT_MINSIGSTKSZ` bytes of it too.
///
/// Nothing is allocated, and there is no thread-local storage: the thread
/// pointer (`fs`, `tpidr_el0`) is that of the thread that calls this. The
/// signal mask is inherited; to have a thread that takes no signals, block
/// them around this call. There is no alternate signal stack.
///
/// A panic in `f` ends the whole process, by the program's panic handler (in
/// an `std` program its hook prints, then it aborts): it cannot unwind out of
/// the thread, and nobody could catch it.
///
/// # Safety
///
/// In a program **without a C library**: nothing of it may use
/// `#[thread_local]` data, because all threads would share one copy.
///
/// In a program **with one** (every `std` program), neither `f` nor what it
/// drops may call into it, or into the parts of `std` that stand on it. The C
/// library believes that it is in the thread that called `spawn`, because that
/// is whose thread-local storage it finds:
/// - `errno`, the allocator's cache, the locks that note their owner, and every
///   `thread_local!` are used by two threads at once: a data race, at best
///   a corrupted heap. That excludes `Box`, `Vec`, `String`, `println!`,
///   `std::thread`, `std::sync::Mutex` where it can wait, and panics: make no
///   call that can fail into one.
/// - A signal handler of the program that uses any of this must not run here:
///   block all signals around `spawn`, and the thread has them blocked.
/// - `setuid` and its like change this thread only if the C library knows it,
///   which it does not: it keeps its old identity.
/// - `fork` here makes a child whose C library believes to be another thread.
///
/// Allowed are this crate's functions, `core`, atomics, and memory that was
/// given to `f`. Until [`JoinHandle::join`], or for ever if detached.
///
/// # Errors
///
/// `EINVAL`: `stack_size` is 0; or the process has unshared, or joined, a PID
/// namespace for its children, and can have no more threads. `ENOMEM`: no address
/// space or memory for the stack, or too many mappings. `EAGAIN`: a limit on
/// threads (`RLIMIT_NPROC`, a cgroup, the system's), or on locked memory after
/// `mlockall`. On an error `f` is dropped, and nothing is left.
///
/// ```
/// use barecall::thread;
/// use core::sync::atomic::{AtomicU32, Ordering};
///
/// static SUM: AtomicU32 = AtomicU32::new(0);
///
/// // SAFETY: the closure does arithmetic; nothing of it calls into std.
/// let thread = unsafe {
///     thread::spawn(65536, || {
///         SUM.store((1..=10).sum(), Ordering::Relaxed);
///         thread::gettid()
///     })
/// }?;
/// let id = thread.id();
/// assert_eq!(thread.join()?, id);
/// assert_eq!(SUM.load(Ordering::Relaxed), 55);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [clone(2)](https://man7.org/linux/man-pages/man2/clone.2.html).
#[inline]
pub unsafe fn spawn<F, T>(stack_size: usize, f: F) -> Result<JoinHandle<T>, Errno>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: the caller's promise, and nothing is borrowed.
    unsafe { spawn_unchecked(stack_size, f) }
}

/// As [`spawn`], for a closure that borrows.
///
/// # Safety
///
/// As [`spawn`], and the thread is joined before anything ends that `f`
/// borrows or that its value borrows. A handle that is dropped detaches.
///
/// # Errors
///
/// As [`spawn`].
///
/// ```
/// use barecall::thread;
///
/// let numbers = [1, 2, 3];
/// // SAFETY: joined at once; no call into std.
/// let sum: u32 = unsafe { thread::spawn_unchecked(65536, || numbers.iter().sum()) }?.join()?;
/// assert_eq!(sum, 6);
/// # Ok::<(), barecall::Errno>(())
/// ```
pub unsafe fn spawn_unchecked<F, T>(stack_size: usize, f: F) -> Result<JoinHandle<T>, Errno>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    if stack_size == 0 {
        return Err(Errno::EINVAL);
    }
    let len = length::<F, T>(stack_size).ok_or(Errno::ENOMEM)?;
    let mapping = Mapping::new(len)?;
    let shared: *mut Shared<T> = below(mapping.base.wrapping_byte_add(len));
    let start: *mut Start<F, T> = below(shared.cast());
    // The stack begins at a multiple of 16, on both architectures.
    let stack = start.cast::<c_void>().map_addr(|addr| addr & !15);
    // SAFETY: `length` left room for both, aligned, in writable memory that
    // nobody else knows of.
    let tid = unsafe {
        shared.write(Shared {
            tid: AtomicU32::new(0),
            state: AtomicU32::new(RUNNING),
            base: mapping.base,
            len,
            value: UnsafeCell::new(MaybeUninit::uninit()),
        });
        start.write(Start { shared, run: f });
        (&raw mut (*shared).tid).cast::<u32>()
    };
    // SAFETY: the stack is ours and given away; the kernel writes the number to
    // `tid` before the thread runs, and 0 when it has ended.
    let cloned =
        decode(unsafe { arch::clone(FLAGS, stack, tid, tid, enter::<F, T>, start.cast()) });
    match cloned {
        Ok(id) => {
            mem::forget(mapping);
            Ok(JoinHandle {
                // SAFETY: a place in a mapping is not null.
                shared: unsafe { NonNull::new_unchecked(shared) },
                id: Pid::from_kernel(id),
            })
        }
        Err(errno) => {
            // SAFETY: written above, and no thread has taken it.
            unsafe { start.drop_in_place() };
            Err(errno)
        }
    }
}

/// Where a new thread begins. `extern "C"`, so that a panic aborts here.
unsafe extern "C" fn enter<F, T>(arg: Reg) -> !
where
    F: FnOnce() -> T,
{
    // SAFETY: `spawn_unchecked` wrote a `Start` there, for this thread alone.
    let Start { shared, run } = unsafe { arg.cast::<Start<F, T>>().read() };
    let value = run();
    // SAFETY: `shared` is there until this thread has ended or unmaps it, and
    // the handle does not look at the value before the state says so.
    unsafe {
        (*shared).value.get().write(MaybeUninit::new(value));
        let state = &(*shared).state;
        let handle = state.compare_exchange(RUNNING, RETURNED, Ordering::AcqRel, Ordering::Acquire);
        if handle.is_ok() {
            // The kernel clears `tid` and wakes who joins.
            process::exit(0);
        }
        leave(shared)
    }
}

/// The end of a detached thread: drops what it returned, and unmaps the stack
/// that it stands on.
///
/// # Safety
///
/// The handle is gone, the value is written, and nothing on the stack is used
/// any more.
unsafe fn leave<T>(shared: *const Shared<T>) -> ! {
    // SAFETY: nobody else knows of `shared` now. The order matters: without a
    // stack there must be no handler; and the kernel must not clear a word in
    // memory that may be another's by then.
    unsafe {
        (*(*shared).value.get()).assume_init_drop();
        let (base, len) = ((*shared).base, (*shared).len);
        let _ = sigprocmask(How::SETMASK, SigSet::ALL);
        set_tid_address(ptr::null_mut());
        arch::munmap_and_exit(base, len)
    }
}

/// A thread of [`spawn`], which has it to join.
///
/// Dropped, it detaches the thread.
pub struct JoinHandle<T> {
    shared: NonNull<Shared<T>>,
    id: Pid,
}

// SAFETY: atomics, and a value that is handed over once.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: by reference it only shows atomics.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    fn shared(&self) -> &Shared<T> {
        // SAFETY: unmapped only when the handle is gone.
        unsafe { self.shared.as_ref() }
    }

    /// The thread's number. After its end it may be another's.
    #[inline]
    pub fn id(&self) -> Pid {
        self.id
    }

    /// Whether the thread has ended: [`join`](Self::join) does not wait.
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.shared().tid.load(Ordering::Acquire) == 0
    }

    /// `futex(&tid, FUTEX_WAIT, ...)`: waits until the thread has ended, for
    /// `timeout` at most.
    ///
    /// As every futex wait it can end early; [`is_finished`](Self::is_finished)
    /// tells.
    ///
    /// # Errors
    ///
    /// As [`futex::wait`], but for `EAGAIN`.
    ///
    /// ```
    /// use barecall::thread;
    /// use barecall::time::Timespec;
    ///
    /// // SAFETY: does nothing.
    /// let thread = unsafe { thread::spawn(4096, || {}) }?;
    /// let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    /// while !thread.is_finished() {
    ///     thread.wait(Some(second))?;
    /// }
    /// thread.join()?;
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn wait(&self, timeout: Option<Timespec>) -> Result<(), Errno> {
        let word = &self.shared().tid;
        match word.load(Ordering::Acquire) {
            0 => Ok(()),
            // Shared, not PRIVATE: the kernel's wake at the end of a thread is.
            tid => match futex::wait(word, FutexFlags::empty(), tid, timeout) {
                Err(Errno::EAGAIN) => Ok(()),
                done => done,
            },
        }
    }

    /// Waits ([`wait`](Self::wait), until the thread has ended), `munmap`s its stack, and gives
    /// what it returned.
    ///
    /// # Errors
    ///
    /// `EOWNERDEAD`: the thread ended without returning: it called `exit`, or
    /// a seccomp filter killed it alone. What it owned is not dropped; its
    /// stack is unmapped. Whatever else a filter makes `futex` say: the thread
    /// is detached then.
    ///
    /// See [`spawn`] for an example.
    pub fn join(self) -> Result<T, Errno> {
        while !self.is_finished() {
            match self.wait(None) {
                Ok(()) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.reap().ok_or(Errno::EOWNERDEAD)
    }

    /// Lets the thread go on alone: at its end it drops what it returns, and
    /// unmaps its own stack. The same as to drop the handle.
    ///
    /// If it ends without returning, its stack stays mapped: there is nobody
    /// left to unmap it.
    #[inline]
    pub fn detach(self) {
        drop(self);
    }

    /// Unmaps the stack of a thread that has ended; gives what it returned.
    fn reap(self) -> Option<T> {
        let shared = self.shared();
        let returned = shared.state.load(Ordering::Acquire) == RETURNED;
        // SAFETY: the state says that the value is written. It is taken once,
        // because the handle goes with it.
        let value = returned.then(|| unsafe { (*shared.value.get()).assume_init_read() });
        drop(Mapping {
            base: shared.base,
            len: shared.len,
        });
        mem::forget(self);
        value
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let again = Self {
            shared: self.shared,
            id: self.id,
        };
        // A thread that was killed does not look at the state any more.
        let detached = !again.is_finished() && {
            let state = &again.shared().state;
            state
                .compare_exchange(RUNNING, DETACHED, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
        };
        if detached {
            // From here on the thread may have unmapped it all.
            return mem::forget(again);
        }
        // It has returned: a moment more, and it has ended.
        while !again.is_finished() {
            let _ = again.wait(None);
        }
        drop(again.reap());
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id)
            .field("is_finished", &self.is_finished())
            .finish()
    }
}
