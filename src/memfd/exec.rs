//! Running what is in a descriptor.

use crate::errno::Errno;
use crate::fd::AsFd;
use crate::process::{CStrArray, ExecveatFlags, execveat};

/// `execveat(fd, "", argv, envp, AT_EMPTY_PATH)`: becomes the program that the
/// file is. Returns only if that fails.
///
/// A [`Memfd`](super::Memfd) can be run as it is, although it is open for
/// writing; any other descriptor of a file that is open for writing is
/// `ETXTBSY`. `/proc/self/exe` is then the memfd, and the kernel calls the
/// process by the descriptor's number (`/proc/self/comm`), until 6.14, or by
/// the memfd's name.
///
/// A **script** (`#!`) is opened again by its interpreter, as `/dev/fd/N`. That
/// needs `/dev/fd`, and a descriptor that `execve` does not close: `ENOENT`
/// from a close-on-exec one, which is the default here. Make it with
/// [`inherit`](super::MemfdOptions::inherit), or clear the flag with
/// [`io::fcntl_setfd`](crate::io::fcntl_setfd). The same goes for every format
/// of binfmt_misc, and for programs of other processors that run through it.
/// (`/dev/fd` may be needed by any program: [`execveat`] says where.)
///
/// # Errors
///
/// `EACCES`: not executable: a memfd of
/// [`Exec::NoExecSeal`](super::Exec::NoExecSeal), or of `SystemDefault` where
/// `vm.memfd_noexec` says so. `ENOENT`: a script and close-on-exec; or its
/// interpreter, or the program's dynamic loader, is not there. `ENOEXEC`: no
/// format that the kernel knows. `ETXTBSY`: open for writing, and not the
/// descriptor that `memfd_create` gave. `ENOSYS`: an emulator without the call
/// (qemu-user). Others as
/// [`process::execve`](crate::process::execve).
///
/// ```
/// use barecall::Errno;
/// use barecall::memfd::{self, MemfdOptions};
/// use barecall::process::{CStrArray, CStrings};
///
/// let (file, _) = MemfdOptions::new().create_or_legacy(c"doc")?;
/// let argv = CStrings::new([c"doc"]);
/// let errno = memfd::exec(&file, argv.as_array(), CStrArray::EMPTY);
/// // Not executable; before Linux 6.3, executable, but empty.
/// assert!(errno == Errno::EACCES || errno == Errno::ENOEXEC);
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [execveat(2)](https://man7.org/linux/man-pages/man2/execveat.2.html).
#[doc(alias = "fexecve")]
#[doc(alias = "execveat")]
pub fn exec<Fd: AsFd>(fd: Fd, argv: CStrArray<'_>, envp: CStrArray<'_>) -> Errno {
    match execveat(fd, c"", argv, envp, ExecveatFlags::EMPTY_PATH) {
        Err(errno) => errno,
        // Only a seccomp filter that answers for the kernel comes here.
        Ok(()) => Errno::ENOSYS,
    }
}
