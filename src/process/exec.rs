//! Executing programs, and the arrays of strings that this takes.

use crate::errno::Errno;
use crate::flags::flags;
use crate::fs::AsDirFd;
use crate::{nr, syscall};
use core::ffi::{CStr, c_char};
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// A pointer to a C string: a `&CStr` as C has it, without the length.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct CStrPtr<'a>(NonNull<c_char>, PhantomData<&'a CStr>);

// SAFETY: a `&CStr`.
unsafe impl Send for CStrPtr<'_> {}
// SAFETY: a `&CStr`.
unsafe impl Sync for CStrPtr<'_> {}

impl<'a> CStrPtr<'a> {
    /// The string, without its length.
    #[inline]
    pub const fn new(string: &'a CStr) -> Self {
        // SAFETY: the pointer of a reference is not null.
        Self(
            unsafe { NonNull::new_unchecked(string.as_ptr().cast_mut()) },
            PhantomData,
        )
    }

    /// The string, whose length is counted.
    #[inline]
    pub const fn to_c_str(self) -> &'a CStr {
        // SAFETY: what `new` was given.
        unsafe { CStr::from_ptr(self.0.as_ptr()) }
    }
}

impl<'a> From<&'a CStr> for CStrPtr<'a> {
    #[inline]
    fn from(string: &'a CStr) -> Self {
        Self::new(string)
    }
}

impl fmt::Debug for CStrPtr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.to_c_str(), f)
    }
}

/// `char *const argv[]`: an array of C strings with a null pointer at its end,
/// as `execve` takes them and a program gets them.
///
/// For strings known where they are written, [`CStrings`]; otherwise:
///
/// ```
/// use barecall::process::{CStrArray, CStrPtr};
/// use std::ffi::CString;
///
/// let strings = vec![CString::from(c"ls"), CString::from(c"-l")];
/// let pointers: Vec<_> = strings.iter().map(|s| Some(CStrPtr::new(s))).chain([None]).collect();
/// let argv = CStrArray::new(&pointers).expect("ends with None");
/// assert!(argv.iter().eq([c"ls", c"-l"]));
/// ```
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct CStrArray<'a>(
    NonNull<Option<CStrPtr<'a>>>,
    PhantomData<&'a [Option<CStrPtr<'a>>]>,
);

// SAFETY: a `&[CStrPtr]`.
unsafe impl Send for CStrArray<'_> {}
// SAFETY: a `&[CStrPtr]`.
unsafe impl Sync for CStrArray<'_> {}

impl<'a> CStrArray<'a> {
    /// No strings.
    pub const EMPTY: CStrArray<'static> = match CStrArray::new(&[None]) {
        Some(empty) => empty,
        None => panic!("ends with None"),
    };

    /// The strings of `pointers`, or `None` if the last one is not the null
    /// pointer.
    #[inline]
    pub const fn new(pointers: &'a [Option<CStrPtr<'a>>]) -> Option<Self> {
        match pointers {
            // SAFETY: the pointer of a slice is not null.
            [.., None] => Some(Self(
                unsafe { NonNull::new_unchecked(pointers.as_ptr().cast_mut()) },
                PhantomData,
            )),
            _ => None,
        }
    }

    /// The strings behind a C array.
    ///
    /// # Safety
    ///
    /// `array` points to pointers to C strings, the last of them null, and none
    /// of it changes for `'a`.
    #[inline]
    pub const unsafe fn from_ptr(array: *const *const c_char) -> Self {
        // SAFETY: the caller's promise; a `CStrPtr` is a pointer.
        Self(
            unsafe { NonNull::new_unchecked(array.cast_mut().cast()) },
            PhantomData,
        )
    }

    /// The C array.
    #[inline]
    pub const fn as_ptr(self) -> *const *const c_char {
        self.0.as_ptr().cast_const().cast()
    }

    /// The strings, one after the other.
    #[inline]
    pub const fn iter(self) -> CStrIter<'a> {
        CStrIter(self)
    }
}

impl<'a> IntoIterator for CStrArray<'a> {
    type Item = &'a CStr;
    type IntoIter = CStrIter<'a>;

    #[inline]
    fn into_iter(self) -> CStrIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for CStrArray<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The strings of a [`CStrArray`].
#[derive(Clone, Debug)]
pub struct CStrIter<'a>(CStrArray<'a>);

impl<'a> CStrIter<'a> {
    /// Those that are left, as an array.
    #[inline]
    pub const fn as_array(&self) -> CStrArray<'a> {
        self.0
    }
}

impl<'a> Iterator for CStrIter<'a> {
    type Item = &'a CStr;

    #[inline]
    fn next(&mut self) -> Option<&'a CStr> {
        let at = self.0.0;
        // SAFETY: not past the null pointer, for there it stays.
        let string = unsafe { at.read() }?;
        // SAFETY: there is at least the null pointer behind this one.
        self.0.0 = unsafe { at.add(1) };
        Some(string.to_c_str())
    }
}

impl core::iter::FusedIterator for CStrIter<'_> {}

/// `N` C strings as an array that `execve` takes.
///
/// ```
/// use barecall::process::CStrings;
///
/// let argv = CStrings::new([c"ls", c"-l"]);
/// assert!(argv.as_array().iter().eq([c"ls", c"-l"]));
/// ```
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CStrings<'a, const N: usize> {
    strings: [CStrPtr<'a>; N],
    end: Option<CStrPtr<'a>>,
}

impl<'a, const N: usize> CStrings<'a, N> {
    /// These strings, in this order.
    #[inline]
    pub fn new(strings: [&'a CStr; N]) -> Self {
        Self {
            strings: strings.map(CStrPtr::new),
            end: None,
        }
    }

    /// The strings as an array.
    #[inline]
    pub const fn as_array(&self) -> CStrArray<'_> {
        // SAFETY: the null pointer lies behind the `N` others, without a gap.
        unsafe { CStrArray::from_ptr((&raw const *self).cast()) }
    }
}

impl<const N: usize> fmt::Debug for CStrings<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.strings, f)
    }
}

/// `execve(pathname, argv, envp)`: becomes another program.
///
/// Returns only if that fails. Nothing is flushed and no destructor runs; the
/// other threads end.
///
/// # Errors
///
/// `E2BIG`: too many strings, or too long. `EACCES`: not a regular file, not
/// executable, or on a `noexec` mount. `ENOENT`: it is not there, or its
/// interpreter is not. `ENOEXEC`: no format that the kernel knows (an empty
/// file, a script without `#!`). `ETXTBSY`: open for writing. `ELOOP`,
/// `ENAMETOOLONG`, `ENOTDIR`: the path. `EPERM`, `EMFILE`, `ENOMEM`, `EIO`,
/// `EISDIR`, `ELIBBAD`, `EINVAL`: the file, its format, or its interpreter.
/// `EAGAIN`: the user, who was changed, has too many processes.
///
/// ```
/// use barecall::Errno;
/// use barecall::process::{CStrArray, CStrings, execve};
///
/// let argv = CStrings::new([c"nothing"]);
/// let error = execve(c"/no/such/file", argv.as_array(), CStrArray::EMPTY);
/// assert_eq!(error, Errno::ENOENT);
/// ```
///
/// Manual page: [execve(2)](https://man7.org/linux/man-pages/man2/execve.2.html).
#[inline]
pub fn execve(path: &CStr, argv: CStrArray<'_>, envp: CStrArray<'_>) -> Errno {
    // SAFETY: strings, and arrays of them with a null pointer at the end.
    match unsafe { syscall!(nr::EXECVE, path, argv.as_ptr(), envp.as_ptr()) } {
        Err(errno) => errno,
        // Only a seccomp filter that answers for the kernel comes here.
        Ok(_) => Errno::ENOSYS,
    }
}

flags! {
    /// `AT_*` for [`execveat`].
    pub struct ExecveatFlags: u32 {
        /// `AT_SYMLINK_NOFOLLOW`: `ELOOP` if the path is a symbolic link.
        #[doc(alias = "AT_SYMLINK_NOFOLLOW")]
        const SYMLINK_NOFOLLOW = 0x100;
        /// `AT_EMPTY_PATH`: with an empty path, the file is what the
        /// descriptor is.
        #[doc(alias = "AT_EMPTY_PATH")]
        const EMPTY_PATH = 0x1000;
        /// `AT_EXECVE_CHECK`: only tell whether it would be allowed (since
        /// Linux 6.14). Meanwhile the process cannot start a thread: `EAGAIN`,
        /// as during an `execve` that fails.
        #[doc(alias = "AT_EXECVE_CHECK")]
        const CHECK = 0x1_0000;
        const _ = !0;
    }
}

/// `execveat(dirfd, pathname, argv, envp, flags)`: becomes another program,
/// found from a directory or given as a descriptor (since Linux 3.19).
///
/// Returns when that fails, and with [`ExecveatFlags::CHECK`] in any case:
/// `Ok` is the answer to that question, and comes from nothing else.
///
/// A script (`#!`) that is given as a descriptor is opened again by its
/// interpreter, as `/dev/fd/N`. That fails with `ENOENT` if the descriptor is
/// close-on-exec.
///
/// Any program is `ENOENT` in Debian's Linux 5.10.223 without a `/dev/fd`,
/// as in an initramfs: its security module TOMOYO looks the name up. devtmpfs
/// has no such link; who mounts it makes one to `/proc/self/fd`.
///
/// # Errors
///
/// As [`execve`]; `EINVAL`: an unknown flag. `ELOOP`: see
/// [`ExecveatFlags::SYMLINK_NOFOLLOW`]. `ENOENT`: an empty path without
/// [`ExecveatFlags::EMPTY_PATH`], or see above. `ENOTDIR`: a relative path,
/// from what is no directory. `EACCES`: the descriptor is a directory, or not
/// executable.
///
/// ```
/// use barecall::Errno;
/// use barecall::memfd::MemfdOptions;
/// use barecall::process::{CStrArray, CStrings, ExecveatFlags, execveat};
///
/// let file = MemfdOptions::new().create(c"doc")?;
/// let argv = CStrings::new([c"doc"]);
/// let (argv, envp) = (argv.as_array(), CStrArray::EMPTY);
/// let error = execveat(&file, c"", argv, envp, ExecveatFlags::EMPTY_PATH);
/// assert_eq!(error, Err(Errno::EACCES));
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [execveat(2)](https://man7.org/linux/man-pages/man2/execveat.2.html).
#[inline]
pub fn execveat<D: AsDirFd>(
    dir: D,
    path: &CStr,
    argv: CStrArray<'_>,
    envp: CStrArray<'_>,
    flags: ExecveatFlags,
) -> Result<(), Errno> {
    // SAFETY: strings, and arrays of them with a null pointer at the end.
    unsafe {
        crate::syscall::syscall_zero!(
            nr::EXECVEAT,
            dir.as_dir_fd(),
            path,
            argv.as_ptr(),
            envp.as_ptr(),
            flags.bits()
        )
    }
}

/// Tries [`execve`] of `name` in each of the directories of `dirs` (as in
/// `PATH`, with colons between them), unless it has a slash.
///
/// This is `execvp`, without its habit of giving a file without format to a
/// shell. An empty directory means the working directory.
///
/// # Errors
///
/// As [`execve`]. What is not there is looked for further: the end is `EACCES`
/// if that came up anywhere, else `ENOENT`.
///
/// ```
/// use barecall::Errno;
/// use barecall::process::{CStrArray, CStrings, execve_search};
///
/// let argv = CStrings::new([c"nothing"]);
/// let (argv, envp) = (argv.as_array(), CStrArray::EMPTY);
/// assert_eq!(execve_search(c"no-such-program", b"/bin:/usr/bin", argv, envp), Errno::ENOENT);
/// ```
///
/// Manual page: [execvp(3)](https://man7.org/linux/man-pages/man3/exec.3.html).
#[doc(alias = "execvp")]
pub fn execve_search(name: &CStr, dirs: &[u8], argv: CStrArray<'_>, envp: CStrArray<'_>) -> Errno {
    let bytes = name.to_bytes();
    if bytes.is_empty() || bytes.contains(&b'/') {
        return execve(name, argv, envp);
    }
    // PATH_MAX: the kernel takes nothing longer.
    let mut buf = [0; 4096];
    let mut result = Errno::ENOENT;
    for dir in dirs.split(|&byte| byte == b':') {
        let errno = match join(&mut buf, dir, name) {
            Some(path) => execve(path, argv, envp),
            None => Errno::ENAMETOOLONG,
        };
        match errno {
            Errno::EACCES => result = errno,
            // Not there. Go on.
            Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG | Errno::ELOOP => {}
            _ => return errno,
        }
    }
    result
}

/// `dir/name`, or `name` for an empty directory, which means this one.
fn join<'b>(buf: &'b mut [u8; 4096], dir: &[u8], name: &CStr) -> Option<&'b CStr> {
    let slash: &[u8] = if dir.is_empty() { b"" } else { b"/" };
    let mut rest = &mut buf[..];
    for piece in [dir, slash, name.to_bytes_with_nul()] {
        let (place, behind) = rest.split_at_mut_checked(piece.len())?;
        place.copy_from_slice(piece);
        rest = behind;
    }
    CStr::from_bytes_until_nul(buf).ok()
}
