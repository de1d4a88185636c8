//! The auxiliary vector: what the kernel tells a program about its machine and
//! about itself, in pairs of a key and a value.
//!
//! [`Auxv`] is a view of such pairs. Where they come from is in the name of the
//! constructor: [`Auxv::from_stack`] is where the kernel puts them for a new
//! program, [`Auxv::query`] asks the kernel (Linux 6.4), [`Auxv::read_proc`]
//! reads `/proc/self/auxv`. Nothing is kept: the entries are the caller's.

use crate::errno::Errno;
use crate::fd::AsFd as _;
use crate::fd::syscall_fd;
use crate::{io, nr, syscall};
use core::ffi::{c_char, c_void};
use core::fmt;

/// One pair of the vector, as the kernel writes it (`Elf64_auxv_t` of C).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
#[doc(alias = "Elf64_auxv_t")]
pub struct Entry {
    /// What it is about.
    pub key: Key,
    /// A number, or an address.
    pub value: usize,
}

impl Entry {
    /// `AT_NULL`: the end of the vector, and what a buffer starts with.
    pub const NULL: Self = Self {
        key: Key::NULL,
        value: 0,
    };
}

/// `AT_*`: what an [`Entry`] is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Key(usize);

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident $alias:literal = $value:literal;)*) => {
        impl Key {
            $($(#[$doc])* #[doc(alias = $alias)] pub const $name: Self = Self($value);)*

            /// The C name, or `None` for a key that this crate has no name for.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($alias),)*
                    _ => None,
                }
            }
        }
    };
}

keys! {
    /// `AT_NULL`: the end of the vector.
    NULL "AT_NULL" = 0;
    /// `AT_IGNORE`: nothing.
    IGNORE "AT_IGNORE" = 1;
    /// `AT_EXECFD`: a descriptor of the program, for an interpreter that
    /// `binfmt_misc` started.
    EXECFD "AT_EXECFD" = 2;
    /// `AT_PHDR`: the address of the program's headers.
    PHDR "AT_PHDR" = 3;
    /// `AT_PHENT`: the size of one program header.
    PHENT "AT_PHENT" = 4;
    /// `AT_PHNUM`: how many program headers there are.
    PHNUM "AT_PHNUM" = 5;
    /// `AT_PAGESZ`: the page size in bytes.
    PAGESZ "AT_PAGESZ" = 6;
    /// `AT_BASE`: the address of the interpreter (the dynamic linker), or 0.
    BASE "AT_BASE" = 7;
    /// `AT_FLAGS`: flags; bit 0 says that `binfmt_misc` kept `argv[0]`.
    FLAGS "AT_FLAGS" = 8;
    /// `AT_ENTRY`: the address where the program starts.
    ENTRY "AT_ENTRY" = 9;
    /// `AT_NOTELF`: the program is not ELF.
    NOTELF "AT_NOTELF" = 10;
    /// `AT_UID`: the real user id.
    UID "AT_UID" = 11;
    /// `AT_EUID`: the effective user id.
    EUID "AT_EUID" = 12;
    /// `AT_GID`: the real group id.
    GID "AT_GID" = 13;
    /// `AT_EGID`: the effective group id.
    EGID "AT_EGID" = 14;
    /// `AT_PLATFORM`: the address of a string, the kind of processor.
    PLATFORM "AT_PLATFORM" = 15;
    /// `AT_HWCAP`: bits of the processor's abilities.
    HWCAP "AT_HWCAP" = 16;
    /// `AT_CLKTCK`: the ticks a second that `times` counts in.
    CLKTCK "AT_CLKTCK" = 17;
    /// `AT_SECURE`: not 0 when `execve` raised privileges (set-user-id and
    /// the like): trust no environment.
    SECURE "AT_SECURE" = 23;
    /// `AT_BASE_PLATFORM`: the address of a string, the real kind of
    /// processor.
    BASE_PLATFORM "AT_BASE_PLATFORM" = 24;
    /// `AT_RANDOM`: the address of 16 random bytes.
    RANDOM "AT_RANDOM" = 25;
    /// `AT_HWCAP2`: more of [`Key::HWCAP`].
    HWCAP2 "AT_HWCAP2" = 26;
    /// `AT_RSEQ_FEATURE_SIZE`: the size of `struct rseq` that the kernel uses
    /// (since Linux 6.3).
    RSEQ_FEATURE_SIZE "AT_RSEQ_FEATURE_SIZE" = 27;
    /// `AT_RSEQ_ALIGN`: the alignment of `struct rseq` (since Linux 6.3).
    RSEQ_ALIGN "AT_RSEQ_ALIGN" = 28;
    /// `AT_HWCAP3`: more of [`Key::HWCAP`].
    HWCAP3 "AT_HWCAP3" = 29;
    /// `AT_HWCAP4`: more of [`Key::HWCAP`].
    HWCAP4 "AT_HWCAP4" = 30;
    /// `AT_EXECFN`: the address of a string, the path given to `execve`.
    EXECFN "AT_EXECFN" = 31;
    /// `AT_SYSINFO_EHDR`: the address of the vDSO; see
    /// [`Vdso`](crate::vdso::Vdso).
    SYSINFO_EHDR "AT_SYSINFO_EHDR" = 33;
    /// `AT_MINSIGSTKSZ`: how much stack a signal handler needs at least, in
    /// bytes.
    MINSIGSTKSZ "AT_MINSIGSTKSZ" = 51;
}

impl Key {
    /// The key of this number.
    #[inline]
    pub const fn from_raw(number: usize) -> Self {
        Self(number)
    }

    /// The number.
    #[inline]
    pub const fn as_raw(self) -> usize {
        self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => {
                f.write_str("AT_")?;
                fmt::Display::fmt(&self.0, f)
            }
        }
    }
}

/// The auxiliary vector of a program, wherever its bytes are.
///
/// What it says is what somebody wrote there: normally the kernel, at
/// `execve`, but `prctl(PR_SET_MM_AUXV)` changes what [`Auxv::query`] and
/// [`Auxv::read_proc`] find, and the initial stack is writable. Addresses are
/// therefore given as pointers, and to follow one is `unsafe`.
///
/// ```
/// use barecall::auxv::{Auxv, Entry, Key};
///
/// let mut entries = [Entry::NULL; Auxv::ROOM];
/// let auxv = Auxv::read_proc(&mut entries)?;
/// assert!(auxv.is_complete());
/// assert!(auxv.page_size().is_some_and(usize::is_power_of_two));
/// for (key, value) in auxv {
///     println!("{key:?}: {value:#x}");
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
#[derive(Clone, Copy)]
pub struct Auxv<'a> {
    /// Without the `AT_NULL` at the end.
    entries: &'a [Entry],
    complete: bool,
}

impl<'a> Auxv<'a> {
    /// Enough entries for [`query`](Self::query) and
    /// [`read_proc`](Self::read_proc): Linux 7.3 has fewer than 32.
    pub const ROOM: usize = 64;

    /// The vector at the end of the initial stack, behind the environment's
    /// null pointer.
    ///
    /// This is where the kernel puts it for a new program, and no call is
    /// needed. `rt` hands such a vector to `main`.
    ///
    /// # Safety
    ///
    /// `vector` points to entries of which the last has the key
    /// [`Key::NULL`], and which nobody changes for `'a`.
    ///
    /// ```
    /// use barecall::auxv::{Auxv, Entry, Key};
    ///
    /// let stack = [Entry { key: Key::PAGESZ, value: 4096 }, Entry::NULL];
    /// // SAFETY: ends with NULL, and is borrowed.
    /// let auxv = unsafe { Auxv::from_stack(stack.as_ptr()) };
    /// assert_eq!(auxv.page_size(), Some(4096));
    /// ```
    #[inline]
    pub const unsafe fn from_stack(vector: *const Entry) -> Self {
        let mut len = 0;
        // SAFETY: not past AT_NULL, and the caller promises that there is one.
        while unsafe { (*vector.add(len)).key.0 } != Key::NULL.0 {
            len += 1;
        }
        Self {
            // SAFETY: just walked over.
            entries: unsafe { core::slice::from_raw_parts(vector, len) },
            complete: true,
        }
    }

    /// The vector in a slice: up to [`Key::NULL`], or to the end of the slice
    /// when there is none, and then it is not
    /// [complete](Self::is_complete).
    ///
    /// ```
    /// use barecall::auxv::{Auxv, Entry, Key};
    ///
    /// let auxv = Auxv::from_entries(&[Entry { key: Key::UID, value: 7 }]);
    /// assert_eq!(auxv.get(Key::UID), Some(7));
    /// assert!(!auxv.is_complete());
    /// ```
    pub fn from_entries(entries: &'a [Entry]) -> Self {
        match entries.iter().position(|entry| entry.key == Key::NULL) {
            Some(end) => Self {
                entries: entries.get(..end).unwrap_or_default(),
                complete: true,
            },
            None => Self {
                entries,
                complete: false,
            },
        }
    }

    /// `prctl(PR_GET_AUXV, entries, size, 0, 0)`: asks the kernel, which keeps
    /// a copy (since Linux 6.4).
    ///
    /// One call and no file: works without /proc, and for any process that
    /// cannot find its initial stack. [`Auxv::ROOM`] entries are enough; with
    /// fewer, the vector may not be [complete](Self::is_complete).
    ///
    /// # Errors
    ///
    /// `EINVAL`: a kernel before 6.4.
    ///
    /// ```
    /// use barecall::Errno;
    /// use barecall::auxv::{Auxv, Entry};
    ///
    /// let mut entries = [Entry::NULL; Auxv::ROOM];
    /// match Auxv::query(&mut entries) {
    ///     Ok(auxv) => assert!(auxv.page_size().is_some()),
    ///     Err(errno) => assert_eq!(errno, Errno::EINVAL),
    /// }
    /// ```
    ///
    /// Manual page: [PR_GET_AUXV(2const)](https://man7.org/linux/man-pages/man2/PR_GET_AUXV.2const.html).
    pub fn query(entries: &'a mut [Entry]) -> Result<Self, Errno> {
        entries.fill(Entry::NULL);
        // SAFETY: the kernel writes no more than `size_of_val(entries)` bytes
        // there, and any bits are an `Entry`.
        unsafe {
            syscall!(
                nr::PRCTL,
                PR_GET_AUXV,
                entries.as_mut_ptr(),
                size_of_val(entries),
                0,
                0
            )
        }?;
        Ok(Self::from_entries(entries))
    }

    /// `openat`, `read` until the end, `close`: reads `/proc/self/auxv`.
    ///
    /// For kernels before 6.4, and where /proc is mounted. [`Auxv::ROOM`]
    /// entries are enough; with fewer, the vector may not be
    /// [complete](Self::is_complete).
    ///
    /// # Errors
    ///
    /// `ENOENT`: no /proc here. `EACCES`: the process is not dumpable
    /// (`PR_SET_DUMPABLE`) and not privileged. Those of `openat` and `read`.
    ///
    /// ```
    /// use barecall::auxv::{Auxv, Entry};
    ///
    /// let mut entries = [Entry::NULL; Auxv::ROOM];
    /// let auxv = Auxv::read_proc(&mut entries)?;
    /// assert!(auxv.page_size().is_some());
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page: [proc_pid_auxv(5)](https://man7.org/linux/man-pages/man5/proc_pid_auxv.5.html).
    pub fn read_proc(entries: &'a mut [Entry]) -> Result<Self, Errno> {
        entries.fill(Entry::NULL);
        // SAFETY: a path, and a new descriptor that is ours.
        let file = unsafe { syscall_fd!(nr::OPENAT, AT_FDCWD, c"/proc/self/auxv", O_CLOEXEC) }?;
        // SAFETY: any bytes are an `Entry`, which has no padding; the slice is
        // borrowed mutably, and `bytes` is gone before it is used again.
        let mut bytes = unsafe {
            core::slice::from_raw_parts_mut(entries.as_mut_ptr().cast::<u8>(), size_of_val(entries))
        };
        while !bytes.is_empty() {
            match io::retry_on_intr(|| io::read(file.as_fd(), bytes))? {
                0 => break,
                n => bytes = bytes.get_mut(n..).unwrap_or_default(),
            }
        }
        Ok(Self::from_entries(entries))
    }

    /// Whether the end of the vector was seen. If not, the buffer was too
    /// small, and there may be more.
    #[inline]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// The entries, without the `AT_NULL` at the end.
    #[inline]
    pub const fn as_entries(&self) -> &'a [Entry] {
        self.entries
    }

    /// The value of the first entry with this key.
    #[inline]
    pub fn get(&self, key: Key) -> Option<usize> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.value)
    }

    /// An address of the kernel's, as a pointer; null is none.
    fn pointer<T>(&self, key: Key) -> Option<*const T> {
        self.get(key)
            .filter(|&address| address != 0)
            .map(core::ptr::with_exposed_provenance)
    }

    /// `AT_PAGESZ`: the page size in bytes. 4096 on x86_64; 4096, 16384 or
    /// 65536 on aarch64, as the kernel was built.
    #[inline]
    pub fn page_size(&self) -> Option<usize> {
        self.get(Key::PAGESZ)
    }

    /// `AT_CLKTCK`: the ticks a second that `times` counts in.
    #[inline]
    pub fn clock_ticks(&self) -> Option<usize> {
        self.get(Key::CLKTCK)
    }

    /// `AT_SYSINFO_EHDR`: where the vDSO is. A kernel booted with `vdso=0`,
    /// valgrind and some emulators give none.
    #[inline]
    pub fn sysinfo_ehdr(&self) -> Option<*const c_void> {
        self.pointer(Key::SYSINFO_EHDR)
    }

    /// `AT_RANDOM`: 16 random bytes, made for this `execve`. A libc in the
    /// process has its stack protector from them: do not publish them.
    #[inline]
    pub fn random(&self) -> Option<*const [u8; 16]> {
        self.pointer(Key::RANDOM)
    }

    /// `AT_EXECFN`: the path that was given to `execve`, a C string.
    #[inline]
    pub fn execfn(&self) -> Option<*const c_char> {
        self.pointer(Key::EXECFN)
    }

    /// `AT_PLATFORM`: the kind of processor (`x86_64`, `aarch64`), a C string.
    #[inline]
    pub fn platform(&self) -> Option<*const c_char> {
        self.pointer(Key::PLATFORM)
    }

    /// `AT_PHDR` and `AT_PHNUM`: the program's own headers (`Elf64_Phdr`), and
    /// how many there are.
    #[inline]
    pub fn program_headers(&self) -> Option<(*const c_void, usize)> {
        Some((self.pointer(Key::PHDR)?, self.get(Key::PHNUM)?))
    }

    /// `AT_ENTRY`: where the program starts.
    #[inline]
    pub fn entry(&self) -> Option<*const c_void> {
        self.pointer(Key::ENTRY)
    }

    /// `AT_BASE`: where the dynamic linker is; a static program has none.
    #[inline]
    pub fn base(&self) -> Option<*const c_void> {
        self.pointer(Key::BASE)
    }

    /// `AT_HWCAP`: bits of the processor's abilities: on aarch64 `HWCAP_*`, on
    /// x86_64 the `edx` of `cpuid` 1.
    #[inline]
    pub fn hwcap(&self) -> Option<usize> {
        self.get(Key::HWCAP)
    }

    /// `AT_HWCAP2`: more of [`hwcap`](Self::hwcap).
    #[inline]
    pub fn hwcap2(&self) -> Option<usize> {
        self.get(Key::HWCAP2)
    }

    /// `AT_HWCAP3`: more of [`hwcap`](Self::hwcap) (aarch64 since Linux 6.14).
    #[inline]
    pub fn hwcap3(&self) -> Option<usize> {
        self.get(Key::HWCAP3)
    }

    /// `AT_UID`: the real user id, at the time of `execve`.
    #[inline]
    pub fn uid(&self) -> Option<u32> {
        self.get(Key::UID).map(|id| id as u32)
    }

    /// `AT_EUID`: the effective user id, at the time of `execve`.
    #[inline]
    pub fn euid(&self) -> Option<u32> {
        self.get(Key::EUID).map(|id| id as u32)
    }

    /// `AT_GID`: the real group id, at the time of `execve`.
    #[inline]
    pub fn gid(&self) -> Option<u32> {
        self.get(Key::GID).map(|id| id as u32)
    }

    /// `AT_EGID`: the effective group id, at the time of `execve`.
    #[inline]
    pub fn egid(&self) -> Option<u32> {
        self.get(Key::EGID).map(|id| id as u32)
    }

    /// `AT_SECURE`: whether `execve` raised privileges, so that environment
    /// and arguments come from somebody who has fewer.
    #[inline]
    pub fn secure(&self) -> Option<bool> {
        self.get(Key::SECURE).map(|value| value != 0)
    }

    /// `AT_MINSIGSTKSZ`: how much stack a signal handler needs at least, in
    /// bytes (x86_64 since Linux 5.14).
    #[inline]
    pub fn min_signal_stack(&self) -> Option<usize> {
        self.get(Key::MINSIGSTKSZ)
    }
}

impl fmt::Debug for Auxv<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(*self).finish()
    }
}

impl<'a> IntoIterator for Auxv<'a> {
    type Item = (Key, usize);
    type IntoIter = Iter<'a>;

    #[inline]
    fn into_iter(self) -> Iter<'a> {
        Iter(self.entries.iter())
    }
}

impl<'a> IntoIterator for &Auxv<'a> {
    type Item = (Key, usize);
    type IntoIter = Iter<'a>;

    #[inline]
    fn into_iter(self) -> Iter<'a> {
        Iter(self.entries.iter())
    }
}

/// The pairs of an [`Auxv`], in the kernel's order.
#[derive(Clone, Debug)]
pub struct Iter<'a>(core::slice::Iter<'a, Entry>);

impl Iterator for Iter<'_> {
    type Item = (Key, usize);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|entry| (entry.key, entry.value))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

const PR_GET_AUXV: u32 = 0x4155_5856;
const AT_FDCWD: i32 = -100;
const O_CLOEXEC: u32 = 0o2000000;
