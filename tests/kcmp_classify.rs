//! kcmp's classes under answers that contradict each other, vanish and come
//! back. No kernel is asked.

use barecall::Errno;
use barecall::kcmp::{Entry, Relation, classify_by, find_by, members};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

fn limit(n: usize) -> usize {
    (n.max(2) as f64 * (n.max(2) as f64).log2()).ceil() as usize
}

fn any_answer() -> impl Strategy<Value = Result<Relation, Errno>> {
    prop_oneof![
        4 => Just(Ok(Relation::Same)),
        8 => Just(Ok(Relation::Less)),
        8 => Just(Ok(Relation::Greater)),
        3 => Just(Err(Errno::ESRCH)),
        1 => Just(Err(Errno::EPERM)),
    ]
}

/// Every entry is in one class or has an error, classes have no gaps, and
/// the members of a class are those that say so.
fn check_shape<T>(entries: &[Entry<T>], classes: usize) {
    let mut counts = vec![0; classes];
    for entry in entries {
        match (entry.class(), entry.error()) {
            (Some(class), None) => counts[class] += 1,
            (None, Some(_)) => {}
            neither => panic!("{neither:?}"),
        }
    }
    for (class, count) in counts.iter().enumerate() {
        assert!(*count > 0);
        assert_eq!(members(entries, class).count(), *count);
        assert!(members(entries, class).all(|entry| entry.class() == Some(class)));
    }
    assert_eq!(members(entries, classes).count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_lying_comparator_ends_and_does_not_panic(
        n in 0_usize..200,
        keys in prop::collection::vec(0_u64..4, 200),
        answers in prop::collection::vec(any_answer(), 1..400),
    ) {
        let mut calls = 0;
        let mut entries: Vec<_> =
            (0..n).map(|i| Entry::with_key(i, keys[i])).collect();
        let classes = classify_by(&mut entries, |_, _| {
            calls += 1;
            answers[calls % answers.len()]
        })
        .unwrap();
        // Each answer that was wanted may cost a failure, two questions
        // who is to blame and another try; so may each entry that leaves.
        prop_assert!(calls <= 4 * (limit(n) + n), "{calls} for {n}");
        check_shape(&entries, classes);
        let _ = kcmp_find(&entries, &answers);
    }

    #[test]
    fn an_honest_comparator_gives_the_classes_in_few_calls(
        values in prop::collection::vec(0_u32..60, 0..300),
    ) {
        let mut calls = 0;
        let mut entries: Vec<_> = values.iter().map(|v| Entry::new(*v)).collect();
        let classes = classify_by(&mut entries, |a, b| {
            calls += 1;
            Ok(a.cmp(b).into())
        })
        .unwrap();
        prop_assert!(calls < limit(values.len()), "{calls} for {}", values.len());
        check_shape(&entries, classes);
        let distinct: std::collections::BTreeSet<_> = values.iter().collect();
        let rank: HashMap<_, _> = distinct.into_iter().zip(0_usize..).collect();
        prop_assert_eq!(classes, rank.len());
        for entry in &entries {
            prop_assert_eq!(entry.class(), Some(rank[entry.item()]));
        }
    }

    #[test]
    fn who_stays_is_classified_rightly_whoever_vanishes_meanwhile(
        values in prop::collection::vec((0_u32..20, 0_usize..900), 1..120),
    ) {
        // The second number is the call at which the entry vanishes; half
        // of them never do.
        let mut calls = 0;
        let mut entries: Vec<_> = values.iter().map(|v| Entry::new(*v)).collect();
        let n = values.len();
        let classes = classify_by(&mut entries, |a, b| {
            calls += 1;
            if [a, b].iter().any(|(_, at)| *at < 450 && *at <= calls) {
                return Err(Errno::ESRCH);
            }
            Ok(a.0.cmp(&b.0).into())
        })
        .unwrap();
        prop_assert!(calls <= limit(n) + 4 * n);
        check_shape(&entries, classes);
        let mut class_of = HashMap::new();
        for entry in &entries {
            let (value, at) = *entry.item();
            if at >= 450 {
                prop_assert_eq!(entry.error(), None);
            }
            if let Some(class) = entry.class() {
                prop_assert_eq!(*class_of.entry(value).or_insert(class), class);
            }
        }
        let distinct: HashSet<_> = class_of.values().collect();
        prop_assert_eq!(distinct.len(), class_of.len());
    }
}

#[test]
fn an_answer_without_an_order_is_an_error() {
    for answer in [Relation::Different, Relation::Unknown(7)] {
        let mut entries = [1, 2, 3].map(Entry::new);
        let outcome = classify_by(&mut entries, |_, _| Ok(answer));
        assert_eq!(outcome, Err(Errno::EOPNOTSUPP));
        assert!(
            entries
                .iter()
                .all(|e| e.class().is_none() && e.error().is_none())
        );
        assert_eq!(members(&entries, 0).count(), 0);
    }
}

#[test]
fn the_count_of_comparisons_is_below_n_log_n_for_any_mix() {
    for n in [2, 3, 5, 64, 100, 1000, 4096, 10_000] {
        for distinct in [1, 2, 3, n / 10 + 1, n / 2 + 1, n] {
            let mut calls = 0;
            // A fixed shuffle.
            let mut entries: Vec<_> = (0..n)
                .map(|i| Entry::new((i * 7_919 + 13) % 65_537 % distinct))
                .collect();
            classify_by(&mut entries, |a, b| {
                calls += 1;
                Ok(a.cmp(b).into())
            })
            .unwrap();
            assert!(calls < limit(n), "{calls} for {n} with {distinct}");
        }
    }
}

/// A search among classes that lie about their order.
fn kcmp_find(
    entries: &[Entry<usize>],
    answers: &[Result<Relation, Errno>],
) -> Result<Option<usize>, Errno> {
    let mut calls = 0;
    find_by(entries, 1, |_| {
        calls += 1;
        assert!(calls < 64);
        answers[calls % answers.len()]
    })
}
