//! The types of flags against such as `bitflags!` makes: what they do and say.

use barecall::fs::RenameFlags;
use barecall::userfaultfd::Features;
use proptest::prelude::*;

/// The same types by `bitflags!`, which call themselves so.
mod theirs {
    bitflags::bitflags! {
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct RenameFlags: u32 {
            const NOREPLACE = 1;
            const EXCHANGE = 2;
            const WHITEOUT = 4;
            const _ = !0;
        }
    }
}

type Ours = RenameFlags;
type Theirs = theirs::RenameFlags;

fn bits() -> impl Strategy<Value = u32> {
    prop_oneof![0..16_u32, any::<u32>(), Just(u32::MAX)]
}

fn check(ours: Ours, theirs: Theirs) {
    assert_eq!(ours.bits(), theirs.bits());
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    assert_eq!(format!("{ours:#?}"), format!("{theirs:#?}"));
    assert_eq!(
        (ours.is_empty(), ours.is_all()),
        (theirs.is_empty(), theirs.is_all())
    );
    let names = |(name, flag): (&'static str, Ours)| (name, flag.bits());
    let their_names = |(name, flag): (&'static str, Theirs)| (name, flag.bits());
    assert!(
        ours.iter_names()
            .map(names)
            .eq(theirs.iter_names().map(their_names))
    );
    assert!(
        ours.into_iter()
            .map(|flag| flag.bits())
            .eq(theirs.into_iter().map(|flag| flag.bits()))
    );
    assert_eq!(ours.into_iter().collect::<Ours>(), ours);
}

proptest! {
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
