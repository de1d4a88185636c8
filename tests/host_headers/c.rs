//! What the headers say: a C file of static assertions, compiled.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// The kernel's headers that are included. A name that is in none of these,
/// and in none of libc's, is reported as unknown: then its header belongs here.
const KERNEL: &[&str] = &[
    "asm/errno.h",
    "asm/ioctls.h",
    "asm/mman.h",
    "asm/poll.h",
    "asm/resource.h",
    "asm/siginfo.h",
    "asm/signal.h",
    "asm/sigcontext.h",
    "asm/socket.h",
    "asm/stat.h",
    "asm/statfs.h",
    "asm/termios.h",
    "asm/ucontext.h",
    "asm/unistd.h",
    "linux/audit.h",
    "linux/auxvec.h",
    "linux/capability.h",
    "linux/close_range.h",
    "linux/elf.h",
    "linux/eventfd.h",
    "linux/eventpoll.h",
    "linux/falloc.h",
    "linux/fcntl.h",
    "linux/fs.h",
    "linux/futex.h",
    "linux/inotify.h",
    "linux/kcmp.h",
    "linux/kernel.h",
    "linux/kexec.h",
    "linux/limits.h",
    "linux/magic.h",
    "linux/membarrier.h",
    "linux/memfd.h",
    "linux/mempolicy.h",
    "linux/mman.h",
    "linux/module.h",
    "linux/mount.h",
    "linux/nsfs.h",
    "linux/openat2.h",
    "linux/pidfd.h",
    "linux/prctl.h",
    "linux/random.h",
    "linux/reboot.h",
    "linux/resource.h",
    "linux/rseq.h",
    "linux/sched.h",
    "linux/sched/types.h",
    "linux/seccomp.h",
    "linux/securebits.h",
    "linux/signal.h",
    "linux/signalfd.h",
    "linux/stat.h",
    "linux/sysinfo.h",
    "linux/time.h",
    "linux/timerfd.h",
    "linux/times.h",
    "linux/uio.h",
    "linux/un.h",
    "linux/userfaultfd.h",
    "linux/utsname.h",
    "linux/wait.h",
    "linux/xattr.h",
];

/// What the kernel defines, but exports in no header (`AF_UNIX`, `MNT_DETACH`):
/// there the C library's are the reference.
const LIBC: &[&str] = &[
    "dirent.h",
    "elf.h",
    "fcntl.h",
    "poll.h",
    "sched.h",
    "signal.h",
    "sys/epoll.h",
    "sys/ioctl.h",
    "sys/klog.h",
    "sys/mman.h",
    "sys/mount.h",
    "sys/reboot.h",
    "sys/sem.h",
    "sys/socket.h",
    "sys/stat.h",
    "sys/statfs.h",
    "sys/swap.h",
    "sys/time.h",
    "sys/timerfd.h",
    "sys/un.h",
    "sys/wait.h",
    "unistd.h",
];

/// Something that must be so.
pub struct Claim {
    /// Who says it, in the crate.
    pub who: String,
    /// The C expression.
    pub c: String,
    /// Whether the headers need not know it: it is made of other constants.
    pub optional: bool,
}

pub struct Verdicts {
    /// Held by the kernel's headers.
    pub kernel: usize,
    /// Not in the kernel's headers, and held by libc's.
    pub libc: Vec<String>,
    /// Contradicted.
    pub wrong: Vec<String>,
    /// About something that no header knows; the index of the claim.
    pub unknown: Vec<usize>,
}

/// Asks the headers.
pub fn check(
    compiler: &str,
    headers: &Path,
    arch: &str,
    work: &Path,
    claims: &[Claim],
) -> Verdicts {
    let kernel_flags = [
        "-nostdinc".to_string(),
        format!(
            "-isystem{}",
            headers.join(format!("{arch}-linux-gnu")).display()
        ),
        format!("-isystem{}", headers.display()),
    ];
    let all: Vec<usize> = (0..claims.len()).collect();
    let kernel = compile(
        compiler,
        &kernel_flags,
        KERNEL,
        &work.join(format!("{arch}-kernel.c")),
        claims,
        &all,
    );
    let missing: Vec<usize> = kernel
        .iter()
        .filter(|(_, wrong)| !**wrong)
        .map(|(i, _)| *i)
        .collect();
    let libc = compile(
        compiler,
        &[],
        LIBC,
        &work.join(format!("{arch}-libc.c")),
        claims,
        &missing,
    );

    let mut verdicts = Verdicts {
        kernel: claims.len() - kernel.len(),
        libc: Vec::new(),
        wrong: Vec::new(),
        unknown: Vec::new(),
    };
    for (i, wrong) in &kernel {
        let claim = &claims[*i];
        match (wrong, libc.get(i)) {
            (true, _) | (false, Some(true)) => {
                verdicts.wrong.push(format!("{}: {}", claim.who, claim.c))
            }
            (false, None) => verdicts.libc.push(format!("{}: {}", claim.who, claim.c)),
            (false, Some(false)) if claim.optional => {}
            (false, Some(false)) => verdicts.unknown.push(*i),
        }
    }
    verdicts
}

/// The claims that do not hold: `true` for wrong, `false` for about something
/// that these headers do not have.
fn compile(
    compiler: &str,
    flags: &[String],
    headers: &[&str],
    file: &Path,
    claims: &[Claim],
    which: &[usize],
) -> BTreeMap<usize, bool> {
    let mut code = String::from("#define _GNU_SOURCE 1\n");
    for header in headers {
        writeln!(code, "#include <{header}>").unwrap();
    }
    let first = code.lines().count() + 1;
    for i in which {
        // One claim, one line: the line in an error is the claim.
        writeln!(code, "_Static_assert({}, \"claim {i}\");", claims[*i].c).unwrap();
    }
    std::fs::write(file, code).expect("write the C file");

    let output = Command::new(compiler)
        .args(["-std=gnu11", "-fsyntax-only", "-w", "-fmax-errors=0"])
        .args(flags)
        .arg(file)
        .env("LC_ALL", "C")
        .output()
        .expect("run the compiler");
    let said = String::from_utf8_lossy(&output.stderr);
    let mut bad = BTreeMap::new();
    for line in said.lines().filter(|line| line.contains(" error: ")) {
        let number: Option<usize> = line
            .strip_prefix(&format!("{}:", file.display()))
            .and_then(|rest| rest.split(':').next())
            .and_then(|number| number.parse().ok());
        let claim = number.and_then(|number| which.get(number.checked_sub(first)?));
        let Some(claim) = claim else {
            panic!("the headers themselves do not compile: {said}");
        };
        // A name that is missing makes several errors, the last of which may
        // be that the assertion is not constant.
        let wrong = line.contains("static assertion failed");
        bad.entry(*claim)
            .and_modify(|all| *all &= wrong)
            .or_insert(wrong);
    }
    assert_eq!(output.status.success(), bad.is_empty(), "{said}");
    bad
}
