//! What is taken for a file that cannot change, and what is not.

use crate::*;
use barecall::memfd::{Access, Frozen, NotFrozen, Refused, Sealed, SharedMap};

fn why<T>(refused: Result<Frozen, Refused<T>>) -> NotFrozen {
    refused.expect_err("a refusal").why
}

#[test]
fn freeze_adds_what_it_says_and_gives_the_length() {
    let frozen = memfd(b"content").freeze().unwrap();
    assert_eq!(frozen.seals(), initial_seals() | Seals::IMMUTABLE);
    assert_eq!(
        barecall::memfd::fcntl_get_seals(&frozen),
        Ok(frozen.seals())
    );
    assert_eq!((frozen.len(), frozen.is_empty()), (7, false));
    let mut bytes = [0; 8];
    assert_eq!(frozen.read_at(&mut bytes, 3), Ok(4));
    assert_eq!(&bytes[..4], b"tent");
    let again = frozen.try_clone().unwrap();
    drop(frozen);
    assert_eq!(&again.map().unwrap()[..], b"content");
    assert_eq!(Seals::IMMUTABLE.bits(), 0xf);
}

#[test]
fn freeze_gives_the_memfd_back_when_it_is_refused() {
    let _alone = alone();
    let file = memfd(b"content");
    let map = SharedMap::new(&file, Access::Read, None).unwrap();
    let refused = file.freeze().unwrap_err();
    assert_eq!(refused.why, NotFrozen::Os(Errno::EBUSY));
    assert_eq!(Errno::from(refused.why), Errno::EBUSY);
    drop(map);
    refused.file.write_at(b"C", 0).unwrap();
    assert_eq!(
        &refused.file.freeze().unwrap().map().unwrap()[..],
        b"Content"
    );

    let file = memfd(b"x");
    file.add_seals(Seals::SEAL).unwrap();
    let refused = file.freeze().unwrap_err();
    assert_eq!(refused.why, NotFrozen::Os(Errno::EPERM));
    assert_eq!(refused.file.size(), Ok(1));

    let unknown = Seals::from_bits_retain(1 << 30);
    let refused = memfd(b"x").freeze_with(unknown).unwrap_err();
    assert_eq!(refused.why, NotFrozen::Os(Errno::EINVAL));
    assert_eq!(refused.file.seals(), Ok(initial_seals()));
}

#[test]
fn verify_is_a_superset_test_for_shrink_and_write() {
    for bits in 0..32 {
        let seals = Seals::from_bits_retain(bits);
        let file = memfd(b"content");
        file.add_seals(seals).unwrap();
        let missing = Seals::CONSTANT.difference(seals);
        match Frozen::verify(file.into()) {
            Ok(frozen) => {
                assert!(missing.is_empty(), "{seals:?}");
                assert_eq!(frozen.seals(), initial_seals() | seals);
                assert_eq!(&frozen.map().unwrap()[..], b"content");
            }
            Err(Refused { file, why }) => {
                assert_eq!(why, NotFrozen::Missing(missing), "{seals:?}");
                assert_eq!(Errno::from(why), Errno::EPERM);
                // Still open, and the same file.
                let mut bytes = [0; 7];
                assert_eq!(io::pread(&file, &mut bytes, 0), Ok(7));
            }
        }
    }
}

#[test]
fn verify_takes_what_it_can_only_read() {
    let file = memfd(b"content");
    let reader = file.reopen_read_only().unwrap();
    let _frozen = file.freeze().unwrap();
    let frozen = Frozen::verify(reader).unwrap();
    assert_eq!(&frozen.map().unwrap()[..], b"content");
    assert_eq!(&frozen.map_private().unwrap()[..], b"content");
    // What cannot be read cannot be mapped, however sealed it is.
    let writer = reopen(&frozen, OFlags::WRONLY).unwrap();
    let frozen = Frozen::verify(writer).unwrap();
    assert_eq!(frozen.map().unwrap_err(), Errno::EACCES);
    let path = reopen(&frozen, OFlags::PATH).unwrap();
    assert_eq!(why(Frozen::verify(path)), NotFrozen::Os(Errno::EBADF));
}

#[test]
fn a_file_that_may_grow_is_mapped_as_long_as_it_was() {
    let file = memfd(b"content");
    file.add_seals(Seals::CONSTANT).unwrap();
    let again = reopen(&file, OFlags::RDWR).unwrap();
    let frozen = Frozen::verify(file.into()).unwrap();
    fs::ftruncate(&again, 100_000).unwrap();
    assert_eq!(frozen.len(), 7);
    assert_eq!(&frozen.map().unwrap()[..], b"content");
    assert_eq!(frozen.map_range(7..8).unwrap_err(), Errno::ENXIO);
    assert_eq!(Frozen::verify(again).unwrap().len(), 100_000);
}

#[test]
fn other_files_are_not_frozen() {
    let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    assert_eq!(why(Frozen::verify(reader)), NotFrozen::NoSeals);
    let proc = open(c"/proc/version");
    assert_eq!(why(Frozen::verify(proc)), NotFrozen::NoSeals);
    assert_eq!(Errno::from(NotFrozen::NoSeals), Errno::EINVAL);
}

#[test]
fn a_plain_file_on_tmpfs_answers_with_a_seal_and_is_not_frozen() {
    // Where the file system is: /dev/shm if it is there, else /tmp.
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mut found = 0;
    for dir in [c"/dev/shm", c"/tmp", c"/dev"] {
        let Ok(file) = fs::openat(fs::CWD, dir, flags, Mode::from_raw(0o600)) else {
            continue;
        };
        if fs::fstatfs(&file).unwrap().f_type as u64 != 0x0102_1994 {
            continue;
        }
        found += 1;
        assert_eq!(barecall::memfd::fcntl_get_seals(&file), Ok(Seals::SEAL));
        let refused = Frozen::verify_or_seal(file).unwrap_err();
        assert_eq!(refused.why, NotFrozen::Os(Errno::EPERM));
        let why = why(Frozen::verify(refused.file));
        assert_eq!(why, NotFrozen::Missing(Seals::CONSTANT));
    }
    assert!(found > 0, "no tmpfs");
}

#[test]
fn verify_or_seal_seals_what_is_not_and_leaves_what_is() {
    let _alone = alone();
    let (frozen, sealed) = Frozen::verify_or_seal(memfd(b"x").into()).unwrap();
    assert_eq!(sealed, Sealed::Now);
    assert_eq!(frozen.seals(), initial_seals() | Seals::IMMUTABLE);

    let file = memfd(b"x");
    file.add_seals(Seals::CONSTANT).unwrap();
    let (frozen, sealed) = Frozen::verify_or_seal(file.into()).unwrap();
    assert_eq!(sealed, Sealed::Already);
    assert_eq!(frozen.seals(), initial_seals() | Seals::CONSTANT);

    // Whom it cannot seal it gives back.
    let file = memfd(b"x");
    let reader = file.reopen_read_only().unwrap();
    let refused = Frozen::verify_or_seal(reader).unwrap_err();
    assert_eq!(refused.why, NotFrozen::Os(Errno::EPERM));
    let map = SharedMap::new(&file, Access::ReadWrite, None).unwrap();
    let refused = Frozen::verify_or_seal(file.into()).unwrap_err();
    assert_eq!(refused.why, NotFrozen::Os(Errno::EBUSY));
    drop(map);
    Frozen::verify_or_seal(refused.file).unwrap();
}

#[test]
fn an_executable_is_frozen_in_one_go_or_not_believed() {
    let options = MemfdOptions::new().exec(Exec::Executable).allow_sealing();
    let new = || options.create(c"x");
    if !has_exec_choice() {
        // There is no such seal, and no doubt.
        let file = ANY.create(c"x").unwrap();
        assert_eq!(fs::fstat(&file).unwrap().mode().as_raw(), 0o777);
        let refused = file.freeze_with(Seals::EXEC).unwrap_err();
        assert_eq!(refused.why, NotFrozen::Os(Errno::EINVAL));
        let frozen = refused.file.freeze().unwrap();
        Frozen::verify(frozen.into()).unwrap();
        return;
    }
    // Without EXEC there is no doubt.
    let frozen = new().unwrap().freeze().unwrap();
    assert_eq!(frozen.seals(), Seals::IMMUTABLE);
    Frozen::verify(frozen.into()).unwrap();
    // Asked for together with the others: they came first.
    let frozen = new().unwrap().freeze_with(Seals::EXEC).unwrap();
    assert!(frozen.seals().contains(Seals::IMMUTABLE | Seals::EXEC));
    // But who receives it cannot know.
    let refused = Frozen::verify(frozen.into()).unwrap_err();
    assert_eq!(refused.why, NotFrozen::ImpliedByExec);
    // SAFETY: sealed above, and never mapped.
    unsafe { Frozen::verify_executable(refused.file) }.unwrap();
    // EXEC first: neither can who adds the others later.
    let file = new().unwrap();
    file.add_seals(Seals::EXEC).unwrap();
    let refused = file.freeze().unwrap_err();
    assert_eq!(refused.why, NotFrozen::ImpliedByExec);
    let file = new().unwrap();
    file.add_seals(Seals::EXEC).unwrap();
    let refused = file.freeze_with(Seals::EXEC).unwrap_err();
    assert_eq!(refused.why, NotFrozen::ImpliedByExec);
    // Without execute bits EXEC implies nothing, as in every NoExecSeal memfd.
    let file = MemfdOptions::new().create(c"x").unwrap();
    let frozen = file.freeze_with(Seals::EXEC).unwrap();
    assert!(frozen.seals().contains(Seals::IMMUTABLE | Seals::EXEC));
    Frozen::verify(frozen.into()).unwrap();
}

#[test]
fn create_frozen_needs_options_that_allow_sealing() {
    let frozen = ANY.create_frozen(c"x", b"content").unwrap();
    assert_eq!(&frozen.map().unwrap()[..], b"content");
    assert!(
        ANY.create_frozen(c"x", b"")
            .unwrap()
            .map()
            .unwrap()
            .is_empty()
    );
    let fixed = MemfdOptions::new().exec(Exec::Executable);
    let (_, wanted) = match has_exec_choice() {
        true => ((), Errno::EPERM),
        false => ((), Errno::EINVAL),
    };
    assert_eq!(fixed.create_frozen(c"x", b"content").unwrap_err(), wanted);
}

#[test]
fn reasons_are_told_in_words() {
    assert_eq!(
        NotFrozen::Missing(Seals::WRITE).to_string(),
        "the file is not sealed against change"
    );
    let refused = memfd(b"")
        .freeze_with(Seals::from_bits_retain(1 << 30))
        .unwrap_err();
    assert_eq!(refused.to_string(), Errno::EINVAL.to_string());
    let source = std::error::Error::source(&refused).unwrap();
    assert_eq!(source.to_string(), Errno::EINVAL.to_string());
    assert_eq!(Errno::from(refused), Errno::EINVAL);
}
