//! The types of flags against such as `bitflags!` makes: what they do and say.

use barecall::event::PollFlags;
use barecall::fs::{FallocateFlags, Mode, RenameFlags};
use barecall::pagemap::ScanFlags;
use barecall::userfaultfd::Features;
use proptest::prelude::*;

/// The same types by `bitflags!`, which call themselves so.
mod theirs {
    bitflags::bitflags! {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct RenameFlags: u32 {
            const NOREPLACE = 1;
            const EXCHANGE = 2;
            const WHITEOUT = 4;
            const _ = !0;
        }

        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct Mode: u32 {
            const SUID = 0o4000;
            const SGID = 0o2000;
            const SVTX = 0o1000;
            const RWXU = 0o700;
            const RUSR = 0o400;
            const WUSR = 0o200;
            const XUSR = 0o100;
            const RWXG = 0o070;
            const RGRP = 0o040;
            const WGRP = 0o020;
            const XGRP = 0o010;
            const RWXO = 0o007;
            const ROTH = 0o004;
            const WOTH = 0o002;
            const XOTH = 0o001;
            const _ = !0;
        }

        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct FallocateFlags: u32 {
            const ALLOCATE_RANGE = 0x00;
            const KEEP_SIZE = 0x01;
            const PUNCH_HOLE = 0x02;
            const NO_HIDE_STALE = 0x04;
            const COLLAPSE_RANGE = 0x08;
            const ZERO_RANGE = 0x10;
            const INSERT_RANGE = 0x20;
            const UNSHARE_RANGE = 0x40;
            const WRITE_ZEROES = 0x80;
            const _ = !0;
        }

        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct ScanFlags: u64 {
            const WP_MATCHING = 1 << 0;
            const CHECK_WPASYNC = 1 << 1;
            const _ = !0;
        }

        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct PollFlags: u16 {
            const IN = 0x1;
            const PRI = 0x2;
            const OUT = 0x4;
            const ERR = 0x8;
            const HUP = 0x10;
            const NVAL = 0x20;
            const RDNORM = 0x40;
            const RDBAND = 0x80;
            const WRNORM = 0x100;
            const WRBAND = 0x200;
            const MSG = 0x400;
            const REMOVE = 0x1000;
            const RDHUP = 0x2000;
            const _ = !0;
        }
    }
}

/// Two types of the same bits, which say the same of themselves.
macro_rules! same {
    ($check:ident: $Ours:ty, $Theirs:ty) => {
        fn $check(ours: $Ours, theirs: $Theirs) {
            assert_eq!(ours.bits(), theirs.bits());
            assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
            assert_eq!(format!("{ours:#?}"), format!("{theirs:#?}"));
            assert_eq!(
                (ours.is_empty(), ours.is_all()),
                (theirs.is_empty(), theirs.is_all())
            );
            let names = ours.iter_names().map(|(name, flag)| (name, flag.bits()));
            let theirs_names = theirs.iter_names().map(|(name, flag)| (name, flag.bits()));
            assert!(names.eq(theirs_names));
            let each = ours.into_iter().map(|flag| flag.bits());
            assert!(each.eq(theirs.into_iter().map(|flag| flag.bits())));
            assert_eq!(ours.into_iter().collect::<$Ours>(), ours);
        }
    };
}

type Ours = RenameFlags;
type Theirs = theirs::RenameFlags;
same!(check: Ours, Theirs);
same!(check_many: Mode, theirs::Mode);
same!(check_zero: FallocateFlags, theirs::FallocateFlags);
same!(check_wide: ScanFlags, theirs::ScanFlags);
same!(check_narrow: PollFlags, theirs::PollFlags);

fn bits() -> impl Strategy<Value = u32> {
    prop_oneof![0..16_u32, any::<u32>(), Just(u32::MAX)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Values of several bits or none, and other integers.
    #[test]
    fn every_number_is_said_as_bitflags_say_it(bits in bits(), wide: u64, narrow: u16) {
        macro_rules! both {
            ($check:ident, $Type:ident, $bits:expr) => {
                $check(
                    $Type::from_bits_retain($bits),
                    theirs::$Type::from_bits_retain($bits),
                )
            };
        }
        both!(check_many, Mode, bits);
        both!(check_zero, FallocateFlags, bits);
        both!(check_wide, ScanFlags, wide);
        both!(check_wide, ScanFlags, bits.into());
        both!(check_narrow, PollFlags, narrow);
    }

    #[test]
    fn flags_do_what_bitflags_do(a in bits(), b in bits(), there: bool) {
        let (x, y) = (Ours::from_bits_retain(a), Ours::from_bits_retain(b));
        let (v, w) = (Theirs::from_bits_retain(a), Theirs::from_bits_retain(b));
        check(x, v);
        check(x | y, v | w);
        check(x & y, v & w);
        check(x ^ y, v ^ w);
        check(x - y, v - w);
        check(!x, !v);
        check(x.union(y), v.union(w));
        check(x.intersection(y), v.intersection(w));
        check(x.symmetric_difference(y), v.symmetric_difference(w));
        check(x.difference(y), v.difference(w));
        check(x.complement(), v.complement());
        check(Ours::from_bits_truncate(a), Theirs::from_bits_truncate(a));
        prop_assert_eq!(
            Ours::from_bits(a).map(|flags| flags.bits()),
            Theirs::from_bits(a).map(|flags| flags.bits())
        );
        prop_assert_eq!(x.contains(y), v.contains(w));
        prop_assert_eq!(x.intersects(y), v.intersects(w));
        prop_assert_eq!(x == y, v == w);

        type Change<T> = fn(&mut T, T);
        let changes: [(Change<Ours>, Change<Theirs>); 8] = [
            (Ours::insert, Theirs::insert),
            (Ours::remove, Theirs::remove),
            (Ours::toggle, Theirs::toggle),
            (|x, y| *x |= y, |v, w| *v |= w),
            (|x, y| *x &= y, |v, w| *v &= w),
            (|x, y| *x ^= y, |v, w| *v ^= w),
            (|x, y| *x -= y, |v, w| *v -= w),
            (|x, y| x.extend([y]), |v, w| v.extend([w])),
        ];
        for (ours, theirs) in changes {
            let (mut x, mut v) = (x, v);
            ours(&mut x, y);
            theirs(&mut v, w);
            check(x, v);
        }
        let (mut x, mut v) = (x, v);
        x.set(y, there);
        v.set(w, there);
        check(x, v);
    }
}

#[test]
fn constants_are_found_by_their_names() {
    check(Ours::empty(), Theirs::empty());
    check(Ours::all(), Theirs::all());
    check(Ours::NOREPLACE, Theirs::NOREPLACE);
    assert_eq!(Ours::from_name("EXCHANGE"), Some(Ours::EXCHANGE));
    assert_eq!(Ours::from_name("exchange"), None);
    assert_eq!(Ours::from_name(""), None);
}

/// Who is generic over flags takes them.
#[test]
fn they_are_flags_in_the_sense_of_bitflags() {
    fn names<F: bitflags::Flags>() -> Vec<&'static str> {
        F::FLAGS
            .iter()
            .filter(|flag| flag.is_named())
            .map(|flag| flag.name())
            .collect()
    }
    assert_eq!(names::<Ours>(), ["NOREPLACE", "EXCHANGE", "WHITEOUT"]);
    assert!(names::<Features>().contains(&"WP_ASYNC"));
    let read = bitflags::parser::from_str::<Ours>("NOREPLACE | 0x80").unwrap();
    assert_eq!(read.bits(), 0x81);
}
