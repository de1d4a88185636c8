//! The three kinds of mapping.

use crate::*;
use barecall::memfd::{Access, Frozen, HugePage, SharedMap};
use barecall::syscall;

/// Bytes that are different on every page and in every place.
fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i % 251) as u8 ^ (i >> 12) as u8)
        .collect()
}

fn frozen(content: &[u8]) -> Frozen {
    memfd(content).freeze().unwrap()
}

/// How many mappings of this memfd's name the process has.
fn mappings(name: &str) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains(name)).count()
}

/// MFD-025
#[test]
fn a_store_is_seen_by_read_and_by_other_mappings() {
    let _alone = alone();
    let memfd = memfd(&vec![0; page_size()]);
    let one = SharedMap::new(&memfd, Access::ReadWrite, None).unwrap();
    let two = SharedMap::new(&memfd, Access::ReadWrite, None).unwrap();
    assert_eq!(one.write_at(b"hello", 100), Ok(5));
    let mut bytes = [0; 5];
    memfd.read_at(&mut bytes, 100).unwrap();
    assert_eq!(&bytes, b"hello");
    assert_eq!(two.read_at(&mut bytes, 100), 5);
    assert_eq!(&bytes, b"hello");
    memfd.write_at(b"olleh", 100).unwrap();
    assert_eq!(one.read_at(&mut bytes, 100), 5);
    assert_eq!(&bytes, b"olleh");
}

#[test]
fn any_part_of_a_frozen_file_can_be_mapped() {
    let _alone = alone();
    let content = pattern(200_001);
    let frozen = frozen(&content);
    assert_eq!(&frozen.map().unwrap()[..], content);
    let ends = [
        0, 1, 4095, 4096, 4097, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 131_072, 200_000,
        200_001,
    ];
    for start in ends {
        for end in ends.into_iter().filter(|&end| end >= start) {
            let range = start as u64..end as u64;
            let map = frozen.map_range(range.clone()).unwrap();
            assert_eq!(map[..], content[start..end]);
            let map = frozen.map_private_range(range.clone()).unwrap();
            assert_eq!(map[..], content[start..end]);
            let map = SharedMap::new(frozen_source(), Access::Read, Some(range)).unwrap();
            let mut bytes = vec![0; end - start + 1];
            assert_eq!(map.read_at(&mut bytes, 0), end - start);
            assert_eq!(bytes[..end - start], content[start..end]);
        }
    }
}

/// The content of the test above, not sealed.
fn frozen_source() -> &'static Memfd {
    static SOURCE: std::sync::OnceLock<Memfd> = std::sync::OnceLock::new();
    SOURCE.get_or_init(|| memfd(&pattern(200_001)))
}

#[test]
fn what_is_not_inside_the_file_is_enxio() {
    let frozen = frozen(&[1; 10]);
    #[allow(clippy::reversed_empty_ranges)]
    for range in [
        0..11,
        11..11,
        10..11,
        5..4,
        0..u64::MAX,
        u64::MAX..u64::MAX,
        u64::MAX..0,
    ] {
        assert_eq!(frozen.map_range(range.clone()).unwrap_err(), Errno::ENXIO);
        assert_eq!(
            frozen.map_private_range(range.clone()).unwrap_err(),
            Errno::ENXIO
        );
        let shared = SharedMap::new(&frozen, Access::Read, Some(range));
        assert_eq!(shared.unwrap_err(), Errno::ENXIO);
    }
    assert!(frozen.map_range(10..10).unwrap().is_empty());
}

#[test]
fn nothing_maps_to_an_empty_slice() {
    let empty = frozen(b"");
    assert!(empty.is_empty());
    assert_eq!(&empty.map().unwrap()[..], b"");
    assert_eq!(&mut empty.map_private().unwrap()[..], b"");
    let shared = SharedMap::new(&empty, Access::ReadWrite, None).unwrap();
    assert!(shared.is_empty());
    assert_eq!(shared.write_at(b"x", 0), Ok(0));
    assert_eq!(shared.read_at(&mut [0], 0), 0);
    // SAFETY: there is nothing.
    assert_eq!(unsafe { shared.as_slice() }, b"");
}

#[test]
fn maps_are_unmapped_on_drop_and_outlive_the_descriptor() {
    let _alone = alone();
    let memfd = ANY.create(c"unmapped-on-drop").unwrap();
    memfd.write_all_at(&pattern(100_000), 0).unwrap();
    let shared = SharedMap::new(&memfd, Access::ReadWrite, Some(70_000..100_000)).unwrap();
    assert_eq!(mappings("unmapped-on-drop"), 1);
    drop(shared);
    assert_eq!(mappings("unmapped-on-drop"), 0);
    let frozen = memfd.freeze().unwrap();
    let map = frozen.map().unwrap();
    let part = frozen.map_range(99_999..100_000).unwrap();
    let private = frozen.map_private().unwrap();
    drop(frozen);
    assert!(mappings("unmapped-on-drop") >= 1);
    assert_eq!(map[99_999], part[0]);
    assert_eq!(private[..], map[..]);
    drop((map, part, private));
    assert_eq!(mappings("unmapped-on-drop"), 0);
}

#[test]
fn a_private_map_is_written_and_the_file_is_not() {
    let _alone = alone();
    let (content, page) = (pattern(3 * page_size()), page_size() as u64);
    let frozen = frozen(&content);
    let mut map = frozen.map_private_range(page - 1..2 * page).unwrap();
    map.fill(0xee);
    assert!(map.iter().all(|&byte| byte == 0xee));
    assert_eq!(frozen.map().unwrap()[..], content);
    assert_eq!(frozen.map_private().unwrap()[..], content);
    in_child(|| {
        map.fill(0xcc);
        ensure!(map.iter().all(|&byte| byte == 0xcc));
        Ok(())
    });
    assert!(map.iter().all(|&byte| byte == 0xee));
}

#[test]
fn a_shared_map_copies_inside_its_bounds_only() {
    let _alone = alone();
    let content = pattern(page_size());
    let memfd = memfd(&content);
    let mut map = SharedMap::new(&memfd, Access::ReadWrite, Some(10..1010)).unwrap();
    assert_eq!((map.len(), map.is_empty()), (1000, false));
    let mut buf = [0; 2000];
    assert_eq!(map.read_at(&mut buf, 0), 1000);
    assert_eq!(buf[..1000], content[10..1010]);
    assert_eq!(map.read_at(&mut buf, 999), 1);
    assert_eq!(map.read_at(&mut buf, 1000), 0);
    assert_eq!(map.read_at(&mut buf, 1001), 0);
    assert_eq!(map.read_at(&mut buf, usize::MAX), 0);
    assert_eq!(map.read_at(&mut [], 5), 0);
    assert_eq!(map.write_at(&[0xaa; 2000], 0), Ok(1000));
    assert_eq!(map.write_at(&[0xaa], 1000), Ok(0));
    assert_eq!(map.write_at(&[0xaa], usize::MAX), Ok(0));
    let mut wanted = content.clone();
    wanted[10..1010].fill(0xaa);
    let mut whole = vec![0; content.len()];
    memfd.read_at(&mut whole, 0).unwrap();
    assert_eq!(whole, wanted);
    // Every length and alignment of the copy, in and out.
    for len in 0..70 {
        for offset in 0..20 {
            let bytes = &content[len..2 * len];
            assert_eq!(map.write_at(bytes, offset), Ok(len));
            let mut back = [0x55; 80];
            assert_eq!(map.read_at(&mut back[3..3 + len], offset), len);
            assert_eq!(&back[3..3 + len], bytes);
            assert_eq!((back[2], back[3 + len]), (0x55, 0x55));
        }
    }
    // SAFETY: nobody else has it.
    unsafe {
        map.as_mut_slice().fill(1);
        assert!(map.as_slice().iter().all(|&byte| byte == 1));
    }
}

#[test]
fn what_a_descriptor_cannot_do_its_maps_cannot() {
    let _alone = alone();
    let memfd = memfd(b"hello");
    let reader = memfd.reopen_read_only().unwrap();
    let map = SharedMap::new(&reader, Access::ReadWrite, None);
    assert_eq!(map.unwrap_err(), Errno::EACCES);
    let map = SharedMap::new(&reader, Access::Read, None).unwrap();
    assert_eq!(map.access(), Access::Read);
    assert_eq!(map.write_at(b"x", 0), Err(Errno::EACCES));
    let writer = reopen(&memfd, OFlags::WRONLY).unwrap();
    let map = SharedMap::new(&writer, Access::Read, None);
    assert_eq!(map.unwrap_err(), Errno::EACCES);
    let (pipe, _end) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    let map = SharedMap::new(&pipe, Access::Read, None);
    assert_eq!(map.unwrap_err(), Errno::EINVAL);
    let dev = open(c"/dev/zero");
    let map = SharedMap::new(&dev, Access::Read, Some(0..1));
    assert_eq!(map.unwrap_err(), Errno::EINVAL);
}

#[test]
fn a_file_too_large_for_memory_is_enomem() {
    let memfd = ANY.create(c"x").unwrap();
    memfd.set_len(i64::MAX as u64 & !0xffff).unwrap();
    let map = SharedMap::new(&memfd, Access::Read, None);
    assert_eq!(map.unwrap_err(), Errno::ENOMEM);
    let frozen = memfd.freeze().unwrap();
    assert_eq!(frozen.map().unwrap_err(), Errno::ENOMEM);
    let last = frozen.len() - 5;
    assert_eq!(&frozen.map_range(last..frozen.len()).unwrap()[..], &[0; 5]);
}

#[test]
fn threads_share_a_map() {
    let _alone = alone();
    let memfd = memfd(&[0; 64 << 10]);
    let map = SharedMap::new(&memfd, Access::ReadWrite, None).unwrap();
    std::thread::scope(|scope| {
        for value in 1..=4_u8 {
            let map = &map;
            scope.spawn(move || {
                for _ in 0..50 {
                    map.write_at(&[value; 64 << 10], 0).unwrap();
                    let mut bytes = [0; 1000];
                    map.read_at(&mut bytes, usize::from(value) * 100);
                    // Each byte is one that somebody wrote.
                    assert!(bytes.iter().all(|byte| (1..=4).contains(byte)));
                }
            });
        }
    });
    let frozen = memfd.freeze().unwrap_err().file;
    drop(map);
    let map = frozen.freeze().unwrap().map().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(map.iter().all(|byte| (1..=4).contains(byte))));
        }
    });
}

/// MFD-125
#[test]
fn huge_mappings_are_unmapped_whole() {
    let _alone = alone();
    let huge = ANY.huge(HugePage::DEFAULT).create(c"huge-map").unwrap();
    let page = fs::fstat(&huge).unwrap().st_blksize as usize;
    huge.set_len(page as u64).unwrap();
    // SAFETY: a mapping that is only looked at from outside. Without a
    // reservation, so that it works with an empty pool.
    unsafe {
        let flags = MapFlags::SHARED | MapFlags::NORESERVE;
        let map = mm::mmap(std::ptr::null_mut(), page, RW, flags, &huge, 0).unwrap();
        assert_eq!(mm::munmap(map, page_size()), Err(Errno::EINVAL));
        assert_eq!(mappings("huge-map"), 1);
        mm::munmap(map, page).unwrap();
        assert_eq!(mappings("huge-map"), 0);
    }
}

/// What the pool of default-sized pages has, and how to change it.
struct Pool {
    path: String,
    before: u64,
    page: u64,
}

impl Pool {
    /// At least `pages` free huge pages, or none if the machine has not got
    /// them.
    fn with(pages: u64) -> Option<Self> {
        let huge = ANY.huge(HugePage::DEFAULT).create(c"x").unwrap();
        let page = fs::fstat(&huge).unwrap().st_blksize as u64;
        let dir = format!("/sys/kernel/mm/hugepages/hugepages-{}kB", page >> 10);
        let path = format!("{dir}/nr_hugepages");
        let read = |path: &str| -> u64 {
            let text = std::fs::read_to_string(path).unwrap();
            text.trim().parse().unwrap()
        };
        let before = read(&path);
        let pool = Self { path, before, page };
        let free = read(&format!("{dir}/free_hugepages"));
        std::fs::write(
            &pool.path,
            (before + pages.saturating_sub(free)).to_string(),
        )
        .ok()?;
        (read(&format!("{dir}/free_hugepages")) >= pages).then_some(pool)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.path, self.before.to_string());
    }
}

/// MFD-126
#[test]
fn more_huge_pages_than_are_free_is_enomem() {
    let _alone = alone();
    let huge = ANY.huge(HugePage::DEFAULT).create(c"x").unwrap();
    let page = fs::fstat(&huge).unwrap().st_blksize as u64;
    huge.set_len(page << 20).unwrap();
    let map = SharedMap::new(&huge, Access::ReadWrite, None);
    assert_eq!(map.unwrap_err(), Errno::ENOMEM);
}

#[test]
fn frozen_huge_pages_are_mapped_in_part_and_whole() {
    let _alone = alone();
    // Two for the file, four for the private mappings of it.
    let Some(pool) = Pool::with(6) else {
        skip!("the machine has not got six huge pages");
    };
    let page = pool.page;
    let huge = ANY.huge(HugePage::DEFAULT).create(c"huge-parts").unwrap();
    huge.set_len(2 * page).unwrap();
    let shared = SharedMap::new(&huge, Access::ReadWrite, None).unwrap();
    assert_eq!(shared.write_at(b"across", page as usize - 3), Ok(6));
    drop(shared);
    let frozen = huge.freeze().unwrap();
    assert_eq!(frozen.len(), 2 * page);
    let map = frozen.map_range(page - 3..page + 3).unwrap();
    assert_eq!(&map[..], b"across");
    drop(map);
    let map = frozen.map_range(page + 1..page + 2).unwrap();
    assert_eq!(&map[..], b"s");
    let mut private = frozen.map_private_range(page..page + 1).unwrap();
    private[0] = b'X';
    assert_eq!((private[0], map[0]), (b'X', b's'));
    drop((map, private));
    assert_eq!(mappings("huge-parts"), 0);
    let map = frozen.map().unwrap();
    assert_eq!(map.len() as u64, 2 * page);
    assert_eq!(&map[page as usize - 3..][..6], b"across");
    drop(map);
    assert_eq!(mappings("huge-parts"), 0);
}

/// MFD-129, with a pipe in place of FUSE: what counts is the pinned page.
#[test]
fn pages_that_are_pinned_hold_write_off() {
    let _alone = alone();
    let content = vec![b'a'; page_size()];
    let memfd = memfd(&content);
    let map = SharedMap::new(&memfd, Access::ReadWrite, None).unwrap();
    let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    let iov = [map.as_ptr() as usize, content.len()];
    // SAFETY: the pipe keeps the page, not the mapping.
    let spliced = unsafe { syscall!(barecall::nr::VMSPLICE, writer.as_fd(), iov.as_ptr(), 1, 0) };
    assert_eq!(spliced, Ok(content.len()));
    drop(map);
    // Nobody has it mapped; but the page may still be written to.
    assert_eq!(memfd.add_seals(Seals::WRITE), Err(Errno::EBUSY));
    assert_eq!(memfd.seals(), Ok(initial_seals()));
    let refused = memfd.freeze().unwrap_err();
    let mut page = vec![0; content.len()];
    assert_eq!(io::read(&reader, &mut page), Ok(content.len()));
    assert_eq!(page, content);
    refused.file.freeze().unwrap();
}
