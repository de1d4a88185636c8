//! States for the vDSO's `getrandom`.
//!
//! The function keeps its keys and its bytes for later in memory of the
//! caller's, one piece ("opaque state") a thread at a time. The memory must be
//! of a kind that only the kernel can describe: it may vanish under memory
//! pressure, and is zeroed in a forked child (`MAP_DROPPABLE`); the function
//! notices either, and starts afresh.

use super::Vdso;
use crate::errno::Errno;
use crate::{nr, syscall, syscall_ptr};
use core::ffi::c_void;
use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroUsize;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

/// `struct vgetrandom_opaque_params`: what the memory of a state must be, as
/// the kernel says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
#[doc(alias = "struct vgetrandom_opaque_params")]
pub struct GetrandomParams {
    /// The size of a state, in bytes.
    pub size_of_opaque_state: u32,
    /// `prot` for `mmap`.
    pub mmap_prot: u32,
    /// `flags` for `mmap`.
    pub mmap_flags: u32,
    /// Nothing yet.
    pub reserved: [u32; 13],
}

impl Vdso {
    /// `getrandom(NULL, 0, 0, params, ~0)`: what the memory of a state must be.
    ///
    /// For who makes a pool of one's own; [`StatePool`] asks by itself.
    ///
    /// # Errors
    ///
    /// `ENOSYS`: the vDSO has no such function.
    ///
    /// ```
    /// # use barecall::{auxv::{Auxv, Entry}, vdso::Vdso, Errno};
    /// use barecall::system::GetrandomFlags;
    /// use barecall::vdso::StatePool;
    /// use core::mem::MaybeUninit;
    /// # let mut entries = [Entry::NULL; Auxv::ROOM];
    /// # let auxv = Auxv::read_proc(&mut entries)?;
    /// # // SAFETY: the kernel's vector.
    /// # let vdso = unsafe { Vdso::from_auxv(auxv) };
    ///
    /// let params = match vdso.getrandom_params() {
    ///     Ok(params) => params,
    ///     Err(errno) => return Ok(assert_eq!(errno, Errno::ENOSYS)),
    /// };
    /// assert!((1..=4096).contains(&params.size_of_opaque_state));
    ///
    /// let pool = StatePool::<2>::map(&vdso)?;
    /// assert_eq!(pool.capacity(), 128);
    /// if let Some(mut state) = pool.take() {
    ///     let mut room = [MaybeUninit::uninit(); 64];
    ///     let bytes = vdso.getrandom_uninit(&mut room, GetrandomFlags::empty(), &mut state)?;
    ///     assert_eq!(bytes.len(), 64);
    /// }
    /// # Ok::<(), Errno>(())
    /// ```
    pub fn getrandom_params(&self) -> Result<GetrandomParams, Errno> {
        let function = self.getrandom.ok_or(Errno::ENOSYS)?;
        let mut params = GetrandomParams::default();
        // SAFETY: this length asks for the parameters and nothing else.
        let ret = unsafe {
            function(
                core::ptr::null_mut(),
                0,
                0,
                (&raw mut params).cast(),
                usize::MAX,
            )
        };
        Errno::decode(ret as usize).map(|_| params)
    }
}

/// A state must not cross a page's end. 4096 divides every page size that
/// Linux has on these processors, so that the real one need not be known.
const PAGE: usize = 4096;
/// Two states in one cache line would slow down the threads that use them.
const CACHE_LINE: usize = 64;

/// The room that a state of `size` bytes takes, how many go into a page, and
/// the length of a mapping for 64 times `words` of them.
fn layout(size: usize, words: usize) -> Option<(usize, NonZeroUsize, usize)> {
    let stride = size.checked_next_multiple_of(CACHE_LINE)?;
    let a_page = NonZeroUsize::new(PAGE.checked_div(stride)?)?;
    let states = words.checked_mul(64).filter(|&states| states > 0)?;
    let len = states.div_ceil(a_page.get()).checked_mul(PAGE)?;
    Some((stride, a_page, len))
}

/// States for [`Vdso::getrandom`], in one mapping: up to 64 times `WORDS`
/// states that are in use at the same time.
///
/// No thread-local storage is needed. A thread [takes](Self::take) a state for
/// a call or for life, whichever suits; to take one and give it back is two
/// atomic operations, safe in a signal handler, and never waits. Put the pool
/// where all threads see it: a scope, an `Arc`, a static of yours.
///
/// **Fork.** Nothing is to be done. The kernel zeroes the states in the child,
/// where they reseed themselves: parent and child never see the same bytes. A
/// state that *another* thread held when one thread forked stays taken in the
/// child, where that thread does not exist: make the pool so large that it
/// does not matter, or map a new one in the child. With `CLONE_VM` (`vfork`)
/// the memory is shared, and the child must not touch a state that it did not
/// take itself.
///
/// ```
/// # use barecall::{auxv::{Auxv, Entry}, system::GetrandomFlags};
/// use barecall::vdso::{Function, StatePool, Vdso};
/// # let mut entries = [Entry::NULL; Auxv::ROOM];
/// # let auxv = Auxv::read_proc(&mut entries)?;
/// # // SAFETY: the kernel's vector.
/// # let vdso = unsafe { Vdso::from_auxv(auxv) };
///
/// if vdso.has(Function::Getrandom) {
///     let pool = StatePool::<1>::map(&vdso)?;
///     std::thread::scope(|scope| {
///         for _ in 0..4 {
///             scope.spawn(|| {
///                 let mut state = pool.take().expect("64 of them");
///                 let mut bytes = [0; 16];
///                 vdso.getrandom(&mut bytes, GetrandomFlags::empty(), &mut state)
///             });
///         }
///     });
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
pub struct StatePool<const WORDS: usize = 1> {
    memory: NonNull<c_void>,
    len: usize,
    /// The size of a state, and the room that it takes.
    size: usize,
    stride: usize,
    /// How many go into 4096 bytes.
    a_page: NonZeroUsize,
    /// One bit a state: 1 is taken.
    taken: [AtomicU64; WORDS],
}

// SAFETY: the bits of `taken` say whose each piece of the memory is.
unsafe impl<const WORDS: usize> Send for StatePool<WORDS> {}
// SAFETY: as above.
unsafe impl<const WORDS: usize> Sync for StatePool<WORDS> {}

impl<const WORDS: usize> StatePool<WORDS> {
    /// `mmap` of memory as [`Vdso::getrandom_params`] wants it, for 64 times
    /// `WORDS` states. It takes no real memory before it is used.
    ///
    /// # Errors
    ///
    /// `ENOSYS`: the vDSO has no `getrandom`. `ENOMEM`: no room, or too many
    /// mappings. `EINVAL`: `WORDS` is 0, or the kernel wants a state larger
    /// than 4096 bytes, which none does.
    pub fn map(vdso: &Vdso) -> Result<Self, Errno> {
        let params = vdso.getrandom_params()?;
        let size = params.size_of_opaque_state as usize;
        let (stride, a_page, len) = layout(size, WORDS).ok_or(Errno::EINVAL)?;
        // SAFETY: a new mapping, somewhere where nothing was.
        let memory =
            unsafe { syscall_ptr!(nr::MMAP, 0, len, params.mmap_prot, params.mmap_flags, -1, 0) }?;
        Ok(Self {
            memory: NonNull::new(memory).ok_or(Errno::ENOMEM)?,
            len,
            size,
            stride,
            a_page,
            taken: [const { AtomicU64::new(0) }; WORDS],
        })
    }

    /// How many states there are.
    ///
    /// See [`Vdso::getrandom_params`] for an example.
    #[inline]
    pub const fn capacity(&self) -> usize {
        WORDS.saturating_mul(64)
    }

    /// A state that nobody else has, until it is dropped; `None` if all are
    /// taken.
    ///
    /// Never waits, and makes no system call.
    #[inline]
    pub fn take(&self) -> Option<State<'_>> {
        for (number, word) in self.taken.iter().enumerate() {
            let mut seen = word.load(Ordering::Relaxed);
            while seen != u64::MAX {
                let bit = seen.trailing_ones();
                let mask = 1_u64 << (bit & 63);
                // Acquire: what the last holder did to the state comes before.
                seen = word.fetch_or(mask, Ordering::Acquire);
                if seen & mask == 0 {
                    return Some(self.state(word, mask, number * 64 + bit as usize));
                }
            }
        }
        None
    }

    #[inline]
    fn state<'pool>(&'pool self, word: &'pool AtomicU64, mask: u64, index: usize) -> State<'pool> {
        let offset = index / self.a_page * PAGE + index % self.a_page * self.stride;
        State {
            // SAFETY: `map` made room for every index that has a bit.
            opaque: unsafe { self.memory.byte_add(offset) },
            size: self.size,
            word,
            mask,
            memory: PhantomData,
        }
    }
}

impl<const WORDS: usize> Drop for StatePool<WORDS> {
    fn drop(&mut self) {
        // SAFETY: ours, and no state is left, for they borrow from `self`.
        let _ = unsafe { syscall!(nr::MUNMAP, self.memory.as_ptr(), self.len) };
    }
}

impl<const WORDS: usize> fmt::Debug for StatePool<WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken: u32 = self
            .taken
            .iter()
            .map(|word| word.load(Ordering::Relaxed).count_ones())
            .fold(0, u32::saturating_add);
        f.debug_struct("StatePool")
            .field("capacity", &self.capacity())
            .field("taken", &taken)
            .finish_non_exhaustive()
    }
}

/// A state for [`Vdso::getrandom`], held by one thread until it is dropped.
///
/// May be sent to another thread. What it holds is secret, and only the kernel
/// knows what it means.
pub struct State<'pool> {
    opaque: NonNull<c_void>,
    size: usize,
    word: &'pool AtomicU64,
    mask: u64,
    memory: PhantomData<&'pool mut [u8]>,
}

// SAFETY: memory that nobody else has.
unsafe impl Send for State<'_> {}
// SAFETY: nothing can be done with a shared reference.
unsafe impl Sync for State<'_> {}

impl State<'_> {
    /// Where it is, and its size.
    #[inline]
    pub(super) fn parts(&mut self) -> (*mut c_void, usize) {
        (self.opaque.as_ptr(), self.size)
    }
}

impl Drop for State<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release: what was done to the state comes before the next holder.
        self.word.fetch_and(!self.mask, Ordering::Release);
    }
}

impl fmt::Debug for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}
