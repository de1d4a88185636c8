//! What a kernel can do, and what is asked of it.

use super::abi::bit;
use crate::flags::flags;

flags! {
    /// `UFFD_FEATURE_*`: what a userfaultfd can do.
    ///
    /// Write-protection is for x86_64 since Linux 5.7 and for aarch64 since
    /// 6.10; there, 5.10 claims it and traps nothing, which is why this crate
    /// believes it on aarch64 only together with `WP_HUGETLBFS_SHMEM`.
    pub struct Features: u64 {
        /// `UFFD_FEATURE_PAGEFAULT_FLAG_WP`: ranges can be write-protected
        /// (since Linux 5.7).
        #[doc(alias = "UFFD_FEATURE_PAGEFAULT_FLAG_WP")]
        const PAGEFAULT_FLAG_WP = 1 << 0;
        /// `UFFD_FEATURE_EVENT_FORK`: a fork is told, with a descriptor for the
        /// child; needs `CAP_SYS_PTRACE` (since Linux 4.11).
        #[doc(alias = "UFFD_FEATURE_EVENT_FORK")]
        const EVENT_FORK = 1 << 1;
        /// `UFFD_FEATURE_EVENT_REMAP`: `mremap` is told (since Linux 4.11).
        #[doc(alias = "UFFD_FEATURE_EVENT_REMAP")]
        const EVENT_REMAP = 1 << 2;
        /// `UFFD_FEATURE_EVENT_REMOVE`: discarded pages are told (since Linux
        /// 4.11).
        #[doc(alias = "UFFD_FEATURE_EVENT_REMOVE")]
        const EVENT_REMOVE = 1 << 3;
        /// `UFFD_FEATURE_MISSING_HUGETLBFS`: missing pages of hugetlbfs; there
        /// or not, whether asked for or not (since Linux 4.11).
        #[doc(alias = "UFFD_FEATURE_MISSING_HUGETLBFS")]
        const MISSING_HUGETLBFS = 1 << 4;
        /// `UFFD_FEATURE_MISSING_SHMEM`: missing pages of memfd and tmpfs
        /// (since Linux 4.11).
        #[doc(alias = "UFFD_FEATURE_MISSING_SHMEM")]
        const MISSING_SHMEM = 1 << 5;
        /// `UFFD_FEATURE_EVENT_UNMAP`: `munmap` is told (since Linux 4.11).
        #[doc(alias = "UFFD_FEATURE_EVENT_UNMAP")]
        const EVENT_UNMAP = 1 << 6;
        /// `UFFD_FEATURE_SIGBUS`: no messages for faults, but `SIGBUS` in the
        /// thread that faults (since Linux 4.14).
        #[doc(alias = "UFFD_FEATURE_SIGBUS")]
        const SIGBUS = 1 << 7;
        /// `UFFD_FEATURE_THREAD_ID`: a message says which thread faulted
        /// (since Linux 4.14).
        #[doc(alias = "UFFD_FEATURE_THREAD_ID")]
        const THREAD_ID = 1 << 8;
        /// `UFFD_FEATURE_MINOR_HUGETLBFS`: minor faults of hugetlbfs (since
        /// Linux 5.13).
        #[doc(alias = "UFFD_FEATURE_MINOR_HUGETLBFS")]
        const MINOR_HUGETLBFS = 1 << 9;
        /// `UFFD_FEATURE_MINOR_SHMEM`: minor faults of memfd and tmpfs (since
        /// Linux 5.14).
        #[doc(alias = "UFFD_FEATURE_MINOR_SHMEM")]
        const MINOR_SHMEM = 1 << 10;
        /// `UFFD_FEATURE_EXACT_ADDRESS`: the address of a fault keeps its
        /// offset in the page (since Linux 5.18).
        #[doc(alias = "UFFD_FEATURE_EXACT_ADDRESS")]
        const EXACT_ADDRESS = 1 << 11;
        /// `UFFD_FEATURE_WP_HUGETLBFS_SHMEM`: write-protection of hugetlbfs,
        /// memfd and tmpfs (since Linux 5.19).
        #[doc(alias = "UFFD_FEATURE_WP_HUGETLBFS_SHMEM")]
        const WP_HUGETLBFS_SHMEM = 1 << 12;
        /// `UFFD_FEATURE_WP_UNPOPULATED`: anonymous pages that are not there
        /// yet are write-protected too; without it, protecting them does
        /// nothing, and says nothing (since Linux 6.4).
        #[doc(alias = "UFFD_FEATURE_WP_UNPOPULATED")]
        const WP_UNPOPULATED = 1 << 13;
        /// `UFFD_FEATURE_POISON`: pages can be poisoned (since Linux 6.6).
        #[doc(alias = "UFFD_FEATURE_POISON")]
        const POISON = 1 << 14;
        /// `UFFD_FEATURE_WP_ASYNC`: the kernel itself lifts the protection at
        /// the first write, without a message; which pages were written is for
        /// [`pagemap`](crate::pagemap). Brings `WP_UNPOPULATED` (since Linux
        /// 6.7).
        #[doc(alias = "UFFD_FEATURE_WP_ASYNC")]
        const WP_ASYNC = 1 << 15;
        /// `UFFD_FEATURE_MOVE`: pages can be moved into a fault (since Linux
        /// 6.8).
        #[doc(alias = "UFFD_FEATURE_MOVE")]
        const MOVE = 1 << 16;
        /// `UFFD_FEATURE_RWP`: ranges can be protected against reading and
        /// writing (since Linux 7.3).
        #[doc(alias = "UFFD_FEATURE_RWP")]
        const RWP = 1 << 17;
        /// `UFFD_FEATURE_RWP_ASYNC`: the kernel itself lifts that protection at
        /// the first touch, without a message; needs `RWP` (since Linux 7.3).
        #[doc(alias = "UFFD_FEATURE_RWP_ASYNC")]
        const RWP_ASYNC = 1 << 18;
        const _ = !0;
    }
}

flags! {
    /// Which requests a descriptor or a range takes, a bit for each.
    ///
    /// A range's answer promises too much: for a memfd, `MOVE` and `ZEROPAGE`
    /// are in it and still refused.
    pub struct Ioctls: u64 {
        /// `UFFDIO_REGISTER`.
        const REGISTER = 1 << bit::_UFFDIO_REGISTER;
        /// `UFFDIO_UNREGISTER`.
        const UNREGISTER = 1 << bit::_UFFDIO_UNREGISTER;
        /// `UFFDIO_WAKE`.
        const WAKE = 1 << bit::_UFFDIO_WAKE;
        /// `UFFDIO_COPY`.
        const COPY = 1 << bit::_UFFDIO_COPY;
        /// `UFFDIO_ZEROPAGE`.
        const ZEROPAGE = 1 << bit::_UFFDIO_ZEROPAGE;
        /// `UFFDIO_MOVE` (since Linux 6.8).
        const MOVE = 1 << bit::_UFFDIO_MOVE;
        /// `UFFDIO_WRITEPROTECT` (since Linux 5.7).
        const WRITEPROTECT = 1 << bit::_UFFDIO_WRITEPROTECT;
        /// `UFFDIO_CONTINUE` (since Linux 5.13).
        const CONTINUE = 1 << bit::_UFFDIO_CONTINUE;
        /// `UFFDIO_POISON` (since Linux 6.6).
        const POISON = 1 << bit::_UFFDIO_POISON;
        /// `UFFDIO_RWPROTECT` (since Linux 7.3).
        const RWPROTECT = 1 << bit::_UFFDIO_RWPROTECT;
        /// `UFFDIO_SET_MODE` (since Linux 7.3).
        const SET_MODE = 1 << bit::_UFFDIO_SET_MODE;
        /// `UFFDIO_API`.
        const API = 1 << bit::_UFFDIO_API;
        const _ = !0;
    }
}

/// What the running kernel has to offer, as
/// [`supported`](super::supported) finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Support {
    /// All features, less those that the processor's kernel claims wrongly.
    pub features: Features,
    /// What the kernel said, unfiltered.
    pub claimed: Features,
    /// The requests that a descriptor takes.
    pub ioctls: Ioctls,
}

/// The features of an answer that can be believed.
///
/// aarch64 kernels before 6.10 have no write-protection. 6.1 says so; 5.10 says
/// the opposite, lets a range be registered and protected, and traps nothing.
pub(super) fn believed(claimed: Features) -> Features {
    let proof = Features::from_bits_retain(crate::arch::UFFD_WP_PROOF);
    if claimed.contains(proof) {
        claimed
    } else {
        claimed.difference(Features::PAGEFAULT_FLAG_WP)
    }
}
