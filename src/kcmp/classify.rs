//! Sorting things into classes of the same, by asking in pairs.
//!
//! A merge sort over classes: two runs of distinct classes, each in the
//! kernel's order, become one, and where both have the same thing the two
//! classes become one. So n entries take fewer than n log2 n comparisons, and
//! fewer still the more of them are the same. Every loop is bounded by the length
//! of its runs, whatever the comparisons answer.

use super::{EpollSlot, Relation, Resource, kcmp, kcmp_epoll_tfd, kcmp_file};
use crate::errno::Errno;
use crate::fd::RawFd;
use crate::process::Pid;
use core::cmp::Ordering;

/// A descriptor of a task, for [`classify_files`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct File {
    /// The task: a process, or a thread with a descriptor table of its own.
    pub pid: Pid,
    /// The number that the file has there.
    pub fd: RawFd,
}

/// One of the things to classify, with the room that the sort needs for it: 48
/// bytes for a [`File`].
#[derive(Clone, Debug)]
pub struct Entry<T> {
    item: T,
    key: u64,
    state: State,
    /// `order[k]` is the representative of the k-th class, `spare[k]` the
    /// sort's second array. They belong to the place, not to this entry.
    order: u32,
    spare: u32,
    /// The other members of the class this entry represents, as a list.
    next: u32,
    tail: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Never compared.
    Fresh,
    /// Compared with success.
    Seen,
    Class(u32),
    Refused(Errno),
}

/// No entry. There are fewer of them than this.
const NONE: u32 = u32::MAX;

impl<T> Entry<T> {
    /// An entry that is compared with all others.
    #[inline]
    pub const fn new(item: T) -> Self {
        Self::with_key(item, 0)
    }

    /// An entry that is compared only with entries of the same key: a filter
    /// that saves comparisons.
    ///
    /// The key must be equal for what is the same; for files, anything made of
    /// the device and the inode number will do, the same way for all. Key 0 is
    /// what [`Entry::new`] gives. An entry whose key nobody else has is a class
    /// of its own without being asked about.
    ///
    /// ```
    /// use barecall::kcmp::{Entry, classify_by};
    ///
    /// // Only those of one kind are compared.
    /// let mut calls = 0;
    /// let mut entries =
    ///     [("a", 5, 1), ("b", 5, 2), ("c", 5, 1)].map(|item| Entry::with_key(item, item.2));
    /// let classes = classify_by(&mut entries, |a, b| {
    ///     calls += 1;
    ///     Ok(a.1.cmp(&b.1).into())
    /// })?;
    /// assert_eq!((classes, calls), (2, 1));
    /// assert_eq!(entries[0].class(), entries[2].class());
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    #[inline]
    pub const fn with_key(item: T, key: u64) -> Self {
        Self {
            item,
            key,
            state: State::Fresh,
            order: NONE,
            spare: NONE,
            next: NONE,
            tail: NONE,
        }
    }

    /// What is classified.
    #[inline]
    pub const fn item(&self) -> &T {
        &self.item
    }

    /// The number of its class, from 0; equal numbers are the same thing.
    ///
    /// `None` before classification, and if it could not be compared: see
    /// [`Entry::error`].
    #[inline]
    pub const fn class(&self) -> Option<usize> {
        match self.state {
            State::Class(class) => Some(class as usize),
            _ => None,
        }
    }

    /// Why it is in no class: `ESRCH`, the task is gone; `EBADF`, it closed the
    /// descriptor; `EPERM`, it may not be looked into, or a filter
    /// ([`denied_by`](super::denied_by)).
    #[inline]
    pub const fn error(&self) -> Option<Errno> {
        match self.state {
            State::Refused(errno) => Some(errno),
            _ => None,
        }
    }
}

/// Sorts descriptors of any tasks into open files, by `kcmp(KCMP_FILE)`, and
/// gives how many open files there are.
///
/// Makes fewer than n log2 n calls for n descriptors, whatever is the same among
/// them (one for a single descriptor), and up to three more each time that one cannot be compared. No memory
/// but the entries is used.
///
/// The answers hold for stopped tasks. Running ones may open and close
/// meanwhile: then a class can be wrong, and what vanished has an
/// [`Entry::error`].
///
/// # Errors
///
/// Those of single entries stay with the entry. `EOPNOTSUPP`: the kernel gives
/// no order ([`Relation::Different`], which none does). `E2BIG`: 2^32 entries.
///
/// ```
/// use barecall::io;
/// use barecall::kcmp::{Entry, File, classify_files};
/// use barecall::process::gettid;
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// let again = reader.try_clone()?;
/// let pid = gettid();
/// let entry = |fd| Entry::new(File { pid, fd });
/// let mut entries = [
///     entry(reader.as_raw_fd()),
///     entry(writer.as_raw_fd()),
///     entry(again.as_raw_fd()),
///     entry(99_999),
/// ];
/// assert_eq!(classify_files(&mut entries)?, 2);
/// assert_eq!(entries[0].class(), entries[2].class());
/// assert_ne!(entries[0].class(), entries[1].class());
/// assert_eq!(entries[3].error(), Some(barecall::Errno::EBADF));
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [kcmp(2)](https://man7.org/linux/man-pages/man2/kcmp.2.html).
pub fn classify_files(entries: &mut [Entry<File>]) -> Result<usize, Errno> {
    classify_by(entries, |a, b| kcmp_file(a.pid, a.fd, b.pid, b.fd))
}

/// Sorts tasks by which of them share a resource, by `kcmp`, and gives how many
/// there are of it.
///
/// As [`classify_files`]. Zombies and, for [`Resource::VM`], kernel threads are
/// one class: that of having none.
///
/// # Errors
///
/// As [`classify_files`].
///
/// ```
/// use barecall::kcmp::{Entry, Resource, classify};
/// use barecall::process::{getpid, gettid};
///
/// let mut tasks = [Entry::new(getpid()), Entry::new(gettid())];
/// assert_eq!(classify(Resource::VM, &mut tasks)?, 1);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [kcmp(2)](https://man7.org/linux/man-pages/man2/kcmp.2.html).
pub fn classify(resource: Resource, entries: &mut [Entry<Pid>]) -> Result<usize, Errno> {
    classify_by(entries, |a, b| kcmp(resource, *a, *b))
}

/// Sorts anything into classes of the same, by a comparison in pairs, and gives
/// how many classes there are.
///
/// What [`classify_files`] and [`classify`] are made of. Classes are numbered
/// in the order of the comparison (and of the keys before it).
///
/// A comparison that fails is followed by one of each of the two with itself,
/// to learn which of them is to blame; that one is set aside with its error. If
/// neither is, the pair is tried once more, and then the second is blamed.
///
/// The comparison may contradict itself. The classes mean nothing then, but
/// this ends after as many comparisons as ever, and does not panic.
///
/// # Errors
///
/// `EOPNOTSUPP`: an answer without an order, [`Relation::Different`] or
/// [`Relation::Unknown`]. `E2BIG`: 2^32 entries. No entry is in a class then.
///
/// ```
/// use barecall::kcmp::{Entry, classify_by};
///
/// let mut entries = [5, 3, 5, 8].map(Entry::new);
/// assert_eq!(classify_by(&mut entries, |a, b| Ok(a.cmp(b).into())), Ok(3));
/// assert_eq!(entries.map(|entry| entry.class()), [Some(1), Some(0), Some(1), Some(2)]);
/// ```
pub fn classify_by<T, F>(entries: &mut [Entry<T>], relate: F) -> Result<usize, Errno>
where
    F: FnMut(&T, &T) -> Result<Relation, Errno>,
{
    let n = match u32::try_from(entries.len()) {
        Ok(n) if n != NONE => n,
        _ => return Err(Errno::E2BIG),
    };
    for (i, entry) in (0..n).zip(entries.iter_mut()) {
        entry.state = State::Fresh;
        entry.order = i;
        entry.spare = NONE;
        entry.next = NONE;
        entry.tail = i;
    }
    let mut sort = Sort { entries, relate };
    let classes = sort.run(0, n).and_then(|length| sort.number(length));
    if classes.is_err() {
        for entry in sort.entries {
            entry.state = State::Fresh;
            entry.order = NONE;
            entry.next = NONE;
        }
    }
    classes.map(|classes| classes as usize)
}

/// Finds the class that something belongs to, among classified entries, by
/// binary search: about log2 of the number of classes comparisons.
///
/// `relate` says what an entry is to the thing that is looked for. `key` is the
/// thing's key if the entries have keys, else 0. Gives the index of the entry
/// that stands for the class.
///
/// # Errors
///
/// Those of `relate`, at once. `EOPNOTSUPP`: an answer without an order.
///
/// ```
/// use barecall::kcmp::{Entry, classify_by, find_by};
///
/// let mut entries = [5, 3, 5, 8].map(Entry::new);
/// classify_by(&mut entries, |a, b| Ok(a.cmp(b).into()))?;
/// assert_eq!(find_by(&entries, 0, |entry| Ok(entry.cmp(&8).into()))?, Some(3));
/// assert_eq!(find_by(&entries, 0, |entry| Ok(entry.cmp(&4).into()))?, None);
/// # Ok::<(), barecall::Errno>(())
/// ```
pub fn find_by<T, F>(entries: &[Entry<T>], key: u64, mut relate: F) -> Result<Option<usize>, Errno>
where
    F: FnMut(&T) -> Result<Relation, Errno>,
{
    let (mut low, mut high) = (0, entries.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let index = entries.get(middle).map_or(NONE, |place| place.order);
        // Places past the last class have no representative.
        let Some(entry) = entries.get(index as usize) else {
            high = middle;
            continue;
        };
        let order = match entry.key.cmp(&key) {
            Ordering::Equal => relate(&entry.item)?.order().ok_or(Errno::EOPNOTSUPP)?,
            unequal => unequal,
        };
        match order {
            Ordering::Equal => return Ok(Some(index as usize)),
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
        }
    }
    Ok(None)
}

/// Finds the open file that an epoll of `owner` watches, among files that
/// [`classify_files`] sorted (without keys), by binary search with
/// `kcmp(KCMP_EPOLL_TFD)`.
///
/// What a checkpoint needs to know: the number in [`EpollSlot::tfd`] is what
/// the file was added under, and may be closed or mean something else by now.
/// Gives the index of an entry; `None` if the file is not among them.
///
/// # Errors
///
/// Those of [`kcmp_epoll_tfd`]: `ENOENT`, the epoll has no such entry; `ESRCH`
/// or `EBADF`, a task or descriptor is gone since.
///
/// The number that the file was added under is closed, and the file is found all
/// the same, by its other number:
///
/// ```
/// use barecall::event::{self, EpollCreateFlags, EpollEvent, EpollFlags};
/// use barecall::fd::AsFd;
/// use barecall::kcmp::proc::Proc;
/// use barecall::kcmp::{Entry, EpollSlot, File, classify_files, find_epoll_target};
/// use barecall::process::getpid;
/// use barecall::{Errno, io};
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// let epoll = event::epoll_create1(EpollCreateFlags::CLOEXEC)?;
/// let added = reader.try_clone()?;
/// event::epoll_add(&epoll, &added, EpollEvent::new(EpollFlags::IN, 42))?;
/// drop(added);
///
/// let pid = getpid();
/// let entry = |fd| Entry::new(File { pid, fd });
/// let mut files = [entry(writer.as_raw_fd()), entry(reader.as_raw_fd())];
/// if let Err(Errno::ENOSYS) = classify_files(&mut files) {
///     return Ok(()); // A kernel without kcmp().
/// }
///
/// let mut buf = [0; 1024];
/// let efd = epoll.as_fd().as_raw_fd();
/// let info = Proc::open()?.process(pid)?.fdinfo(efd, &mut buf)?;
/// for target in info.epoll_targets() {
///     let slot = EpollSlot { efd: efd as u32, tfd: target.tfd, toff: 0 };
///     assert_eq!((target.data, find_epoll_target(&files, pid, slot)?), (42, Some(1)));
/// }
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [kcmp(2)](https://man7.org/linux/man-pages/man2/kcmp.2.html).
pub fn find_epoll_target(
    files: &[Entry<File>],
    owner: Pid,
    slot: EpollSlot,
) -> Result<Option<usize>, Errno> {
    find_by(files, 0, |file| {
        kcmp_epoll_tfd(file.pid, file.fd, owner, slot)
    })
}

/// The members of a class, first the one that stands for it.
///
/// ```
/// use barecall::kcmp::{Entry, classify_by, members};
///
/// let mut entries = [("a", 5), ("b", 3), ("c", 5)].map(Entry::new);
/// classify_by(&mut entries, |a, b| Ok(a.1.cmp(&b.1).into()))?;
/// assert_eq!(members(&entries, 1).map(|entry| entry.item().0).collect::<String>(), "ac");
/// # Ok::<(), barecall::Errno>(())
/// ```
pub fn members<T>(entries: &[Entry<T>], class: usize) -> impl Iterator<Item = &Entry<T>> {
    let mut at = entries.get(class).map_or(NONE, |place| place.order);
    core::iter::from_fn(move || {
        let entry = entries.get(at as usize)?;
        at = entry.next;
        Some(entry)
    })
}

struct Sort<'a, T, F> {
    entries: &'a mut [Entry<T>],
    relate: F,
}

/// What came of two representatives that met.
enum Met {
    Relation(Ordering),
    /// One of them or both left for good, and the next member took the place
    /// if there was one.
    Left,
}

impl<T, F> Sort<'_, T, F>
where
    F: FnMut(&T, &T) -> Result<Relation, Errno>,
{
    /// Sorts places `low..high`; the distinct classes end up from `low` on, as
    /// many as is returned. Nests as deep as log2 of the length.
    fn run(&mut self, low: u32, high: u32) -> Result<u32, Errno> {
        let length = high.saturating_sub(low);
        if length < 2 {
            return Ok(length);
        }
        let middle = low + length / 2;
        let left = self.run(low, middle)?;
        let right = self.run(middle, high)?;
        self.merge(low, left, middle, right)
    }

    /// Merges `left` classes at `low` with `right` classes at `middle`.
    fn merge(&mut self, low: u32, left: u32, middle: u32, right: u32) -> Result<u32, Errno> {
        for place in low..low + left {
            self.set_spare(place, self.order(place));
        }
        let (mut l, l_end) = (low, low + left);
        let (mut r, r_end) = (middle, middle + right);
        // Never catches up with `r`: it trails by what is left of the left run.
        let mut out = low;
        while l < l_end && r < r_end {
            let (mut a, mut b) = (self.spare(l), self.order(r));
            match self.meet(&mut a, &mut b)? {
                Met::Relation(order) => {
                    if order == Ordering::Equal {
                        self.join(a, b);
                    }
                    self.set_order(out, if order.is_gt() { b } else { a });
                    out += 1;
                    l += u32::from(order.is_le());
                    r += u32::from(order.is_ge());
                }
                Met::Left => {
                    self.set_spare(l, a);
                    self.set_order(r, b);
                    l += u32::from(a == NONE);
                    r += u32::from(b == NONE);
                }
            }
        }
        for place in l..l_end {
            self.set_order(out, self.spare(place));
            out += 1;
        }
        for place in r..r_end {
            self.set_order(out, self.order(place));
            out += 1;
        }
        Ok(out - low)
    }

    /// Compares two representatives. Whoever cannot be compared is replaced.
    fn meet(&mut self, a: &mut u32, b: &mut u32) -> Result<Met, Errno> {
        let (Some(first), Some(second)) = (self.get(*a), self.get(*b)) else {
            (*a, *b) = (NONE, NONE);
            return Ok(Met::Left);
        };
        if first.key != second.key {
            return Ok(Met::Relation(first.key.cmp(&second.key)));
        }
        let mut answer = self.ask(*a, *b);
        if answer.is_err() {
            let (first, second) = (self.ask(*a, *a).err(), self.ask(*b, *b).err());
            if let Some(errno) = first {
                *a = self.leave(*a, errno);
            }
            if let Some(errno) = second {
                *b = self.leave(*b, errno);
            }
            if first.is_some() || second.is_some() {
                return Ok(Met::Left);
            }
            answer = self.ask(*a, *b);
        }
        match answer {
            Ok(relation) => match relation.order() {
                Some(order) => Ok(Met::Relation(order)),
                None => Err(Errno::EOPNOTSUPP),
            },
            Err(errno) => {
                *b = self.leave(*b, errno);
                Ok(Met::Left)
            }
        }
    }

    fn ask(&mut self, a: u32, b: u32) -> Result<Relation, Errno> {
        let (Some(first), Some(second)) =
            (self.entries.get(a as usize), self.entries.get(b as usize))
        else {
            return Err(Errno::EINVAL);
        };
        let answer = (self.relate)(&first.item, &second.item);
        if answer.is_ok() {
            for i in [a, b] {
                if let Some(entry) = self.entries.get_mut(i as usize) {
                    entry.state = State::Seen;
                }
            }
        }
        answer
    }

    /// Appends the members of `b`'s class to `a`'s.
    fn join(&mut self, a: u32, b: u32) {
        let (Some(first), Some(second)) = (self.get(a), self.get(b)) else {
            return;
        };
        let (end, new_end) = (first.tail, second.tail);
        if let Some(end) = self.entries.get_mut(end as usize) {
            end.next = b;
        }
        if let Some(first) = self.entries.get_mut(a as usize) {
            first.tail = new_end;
        }
    }

    /// Sets a representative aside. The next member of its class, which sorts
    /// where it did, is the new one.
    fn leave(&mut self, gone: u32, errno: Errno) -> u32 {
        let Some(entry) = self.entries.get_mut(gone as usize) else {
            return NONE;
        };
        let (next, tail) = (entry.next, entry.tail);
        entry.state = State::Refused(errno);
        entry.next = NONE;
        if let Some(next) = self.entries.get_mut(next as usize) {
            next.tail = tail;
        }
        next
    }

    /// Numbers the first `length` places as classes.
    fn number(&mut self, length: u32) -> Result<u32, Errno> {
        let mut classes = 0;
        for place in 0..length {
            let mut first = self.order(place);
            // Nobody was there to be compared with, so it is not known yet
            // whether it can be.
            while let Some(entry) = self.get(first)
                && entry.key == 0
                && matches!(entry.state, State::Fresh)
            {
                if let Err(errno) = self.ask(first, first) {
                    first = self.leave(first, errno);
                }
            }
            if first == NONE {
                continue;
            }
            self.set_order(classes, first);
            let mut member = first;
            while let Some(entry) = self.entries.get_mut(member as usize) {
                entry.state = State::Class(classes);
                member = entry.next;
            }
            classes += 1;
        }
        for place in self.entries.iter_mut().skip(classes as usize) {
            place.order = NONE;
        }
        Ok(classes)
    }

    fn get(&self, i: u32) -> Option<&Entry<T>> {
        self.entries.get(i as usize)
    }

    fn order(&self, place: u32) -> u32 {
        self.get(place).map_or(NONE, |entry| entry.order)
    }

    fn spare(&self, place: u32) -> u32 {
        self.get(place).map_or(NONE, |entry| entry.spare)
    }

    fn set_order(&mut self, place: u32, entry: u32) {
        if let Some(place) = self.entries.get_mut(place as usize) {
            place.order = entry;
        }
    }

    fn set_spare(&mut self, place: u32, entry: u32) {
        if let Some(place) = self.entries.get_mut(place as usize) {
            place.spare = entry;
        }
    }
}
