//! Where threads run.

use crate::errno::Errno;
use crate::process::Pid;
use crate::syscall::syscall_zero;
use crate::{nr, syscall};
use core::fmt;

/// `sched_yield()`: lets others run first.
///
/// ```
/// barecall::thread::sched_yield();
/// ```
///
/// Manual page: [sched_yield(2)](https://man7.org/linux/man-pages/man2/sched_yield.2.html).
#[inline]
pub fn sched_yield() {
    // SAFETY: takes nothing and changes nothing; it has no error.
    let _ = unsafe { syscall!(nr::SCHED_YIELD) };
}

/// `getcpu(&cpu, &node, NULL)`: the processor that this thread runs on, and
/// its NUMA node, as (cpu, node).
///
/// Out of date at once, unless the thread is bound to one.
///
/// # Errors
///
/// None.
///
/// ```
/// use barecall::thread;
///
/// let (cpu, _node) = thread::getcpu()?;
/// println!("on processor {cpu}");
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [getcpu(2)](https://man7.org/linux/man-pages/man2/getcpu.2.html).
#[inline]
pub fn getcpu() -> Result<(u32, u32), Errno> {
    let (mut cpu, mut node) = (0_u32, 0_u32);
    // SAFETY: the kernel writes two numbers.
    unsafe { syscall_zero!(nr::GETCPU, &raw mut cpu, &raw mut node, 0) }?;
    Ok((cpu, node))
}

/// `cpu_set_t`: a set of processors, 1024 of them unless another number of
/// 64-bit words is said.
///
/// ```
/// use barecall::thread::CpuSet;
///
/// let mut set: CpuSet = CpuSet::EMPTY;
/// assert!(set.insert(3) && set.insert(64) && !set.insert(1024));
/// assert_eq!(set.iter().collect::<Vec<_>>(), [3, 64]);
/// ```
///
/// Manual page: [CPU_SET(3)](https://man7.org/linux/man-pages/man3/CPU_SET.3.html).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
#[doc(alias = "cpu_set_t")]
pub struct CpuSet<const WORDS: usize = 16>([u64; WORDS]);

impl<const WORDS: usize> CpuSet<WORDS> {
    /// No processor.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// Adds a processor; `false` if the set has no room for that number.
    #[inline]
    #[doc(alias = "CPU_SET")]
    pub fn insert(&mut self, cpu: usize) -> bool {
        match self.0.get_mut(cpu / 64) {
            Some(word) => {
                *word |= 1 << (cpu % 64);
                true
            }
            None => false,
        }
    }

    /// Takes a processor out.
    #[inline]
    #[doc(alias = "CPU_CLR")]
    pub fn remove(&mut self, cpu: usize) {
        if let Some(word) = self.0.get_mut(cpu / 64) {
            *word &= !(1 << (cpu % 64));
        }
    }

    /// Whether a processor is in it.
    #[inline]
    #[doc(alias = "CPU_ISSET")]
    pub fn contains(&self, cpu: usize) -> bool {
        self.0
            .get(cpu / 64)
            .is_some_and(|word| word & 1 << (cpu % 64) != 0)
    }

    /// How many are in it.
    #[inline]
    #[doc(alias = "CPU_COUNT")]
    pub fn count(&self) -> u32 {
        self.0
            .iter()
            .fold(0_u32, |sum, word| sum.wrapping_add(word.count_ones()))
    }

    /// What is in it, in order.
    #[inline]
    pub fn iter(&self) -> CpuIter<'_> {
        CpuIter {
            words: &self.0,
            next: 0,
        }
    }
}

impl<const WORDS: usize> Default for CpuSet<WORDS> {
    #[inline]
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const WORDS: usize> fmt::Debug for CpuSet<WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<'a, const WORDS: usize> IntoIterator for &'a CpuSet<WORDS> {
    type Item = usize;
    type IntoIter = CpuIter<'a>;
    #[inline]
    fn into_iter(self) -> CpuIter<'a> {
        self.iter()
    }
}

/// The processors of a [`CpuSet`], in order.
#[derive(Clone, Debug)]
pub struct CpuIter<'a> {
    words: &'a [u64],
    next: usize,
}

impl Iterator for CpuIter<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            let cpu = self.next;
            let word = self.words.get(cpu / 64)?;
            self.next = cpu.wrapping_add(1);
            if word & 1 << (cpu % 64) != 0 {
                return Some(cpu);
            }
        }
    }
}

/// `sched_getaffinity(pid, size, mask)`: the processors that a thread may run
/// on; `None` is the calling one.
///
/// # Errors
///
/// `EINVAL`: the kernel counts with more processors than the set has room for.
/// `ESRCH`: no such thread.
///
/// ```
/// use barecall::thread::{self, CpuSet};
///
/// let set: CpuSet = thread::sched_getaffinity(None)?;
/// println!("{} processors: {set:?}", set.count());
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [sched_getaffinity(2)](https://man7.org/linux/man-pages/man2/sched_setaffinity.2.html).
#[inline]
pub fn sched_getaffinity<const WORDS: usize>(thread: Option<Pid>) -> Result<CpuSet<WORDS>, Errno> {
    let pid = thread.map_or(0, Pid::as_raw);
    let mut set = CpuSet::<WORDS>::EMPTY;
    // SAFETY: the kernel writes at most that many bytes; what it leaves is 0.
    unsafe { syscall!(nr::SCHED_GETAFFINITY, pid, size_of_val(&set), &raw mut set) }?;
    Ok(set)
}

/// `sched_setaffinity(pid, size, mask)`: lets a thread run on these processors
/// only; `None` is the calling one.
///
/// # Errors
///
/// `EINVAL`: none of them is there, and allowed by the cpuset. `EPERM`: the
/// thread of another user. `ESRCH`: no such thread.
///
/// ```
/// use barecall::thread::{self, CpuSet};
///
/// let mut one: CpuSet = CpuSet::EMPTY;
/// one.insert(thread::getcpu()?.0 as usize);
/// thread::sched_setaffinity(None, &one)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [sched_setaffinity(2)](https://man7.org/linux/man-pages/man2/sched_setaffinity.2.html).
#[inline]
pub fn sched_setaffinity<const WORDS: usize>(
    thread: Option<Pid>,
    set: &CpuSet<WORDS>,
) -> Result<(), Errno> {
    let pid = thread.map_or(0, Pid::as_raw);
    // SAFETY: the kernel reads that many bytes.
    unsafe {
        syscall_zero!(
            nr::SCHED_SETAFFINITY,
            pid,
            size_of_val(set),
            &raw const *set
        )
    }
}
