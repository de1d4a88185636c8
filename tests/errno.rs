//! `Errno`: its numbers, names, messages and sizes.

use barecall::Errno;
use std::ffi::CStr;

#[test]
fn results_are_no_larger_than_their_registers() {
    assert_eq!(size_of::<Result<(), Errno>>(), 8);
    assert_eq!(size_of::<Option<Errno>>(), 8);
    assert_eq!(size_of::<Result<usize, Errno>>(), 16);
}

#[test]
fn zero_is_no_error_and_every_other_number_is_kept() {
    assert_eq!(Errno::new(0), None);
    for number in [1, 2, 133, 134, 135, 512, 4095, 4096, i32::MAX] {
        assert_eq!(Errno::new(number).unwrap().raw(), number);
    }
}

// ABI-016
#[test]
fn numbers_are_those_of_libc() {
    for (errno, number) in [
        (Errno::EPERM, libc::EPERM),
        (Errno::EAGAIN, libc::EAGAIN),
        (Errno::EWOULDBLOCK, libc::EWOULDBLOCK),
        (Errno::EDEADLK, libc::EDEADLK),
        (Errno::EDEADLOCK, libc::EDEADLOCK),
        (Errno::ENOSYS, libc::ENOSYS),
        (Errno::ELOOP, libc::ELOOP),
        (Errno::ENOMSG, libc::ENOMSG),
        (Errno::EOPNOTSUPP, libc::EOPNOTSUPP),
        (Errno::EUCLEAN, libc::EUCLEAN),
        (Errno::EHWPOISON, libc::EHWPOISON),
    ] {
        assert_eq!(errno.raw(), number);
    }
}

#[test]
fn messages_are_those_of_strerror() {
    let mut checked = 0;
    for number in 1..=133 {
        let errno = Errno::new(number).unwrap();
        let Some(message) = errno.message() else {
            assert_eq!(errno.name(), None, "{number}");
            continue;
        };
        // SAFETY: the string is good until the next call in this thread.
        let theirs = unsafe { CStr::from_ptr(libc::strerror(number)) };
        assert_eq!(message, theirs.to_str().unwrap(), "{number}");
        checked += 1;
    }
    // 41 and 58 are the gaps of <errno.h>.
    assert_eq!(checked, 131);
}

#[test]
fn debug_is_the_name_and_display_adds_the_message() {
    assert_eq!(format!("{:?}", Errno::ENOENT), "ENOENT");
    assert_eq!(
        Errno::ENOENT.to_string(),
        "ENOENT: No such file or directory"
    );
    assert_eq!(format!("{:?}", Errno::EFTYPE), "EFTYPE");
}

#[test]
fn a_number_without_a_name_prints_as_one() {
    for number in [41, 58, 135, 512, 4095] {
        let errno = Errno::new(number).unwrap();
        assert_eq!((errno.name(), errno.message()), (None, None));
        assert_eq!(errno.to_string(), format!("errno {number}"));
    }
    assert_eq!(Errno::new(-5).unwrap().name(), None);
    assert_eq!(Errno::new(i32::MIN).unwrap().name(), None);
}

#[test]
fn it_is_an_error_like_any_other() {
    fn fails() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Err(Errno::EIO)?;
        Ok(())
    }
    assert_eq!(fails().unwrap_err().to_string(), "EIO: Input/output error");
}

#[cfg(feature = "std")]
#[test]
fn std_knows_it_by_its_kind() {
    let error = std::io::Error::from(Errno::ENOENT);
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
}

#[cfg(feature = "std")]
#[test]
fn errors_of_compositions_become_errors_of_std() {
    use barecall::{fs, memfd, spawn, tmpfile, userfaultfd};

    fn becomes<T: Into<std::io::Error>>() {}
    becomes::<memfd::NotFrozen>();
    becomes::<memfd::Refused<memfd::Memfd>>();
    becomes::<spawn::SpawnError>();
    becomes::<tmpfile::LinkError>();
    becomes::<userfaultfd::OpenError>();
    becomes::<userfaultfd::Unresolved<()>>();

    let file = tmpfile::TmpfileOptions::new()
        .linkable(fs::CWD, c"/tmp")
        .unwrap();
    let refused = file.replace(fs::CWD, c"a/b", tmpfile::Durability::None);
    let error = std::io::Error::from(refused.unwrap_err());
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
