//! The vDSO parser on any bytes.
//!
//! `cargo +nightly fuzz run vdso_parse fuzz/corpus/vdso_parse tests/data/vdso`:
//! the second folder has the images of real kernels.
#![no_main]

use barecall::vdso::{Image, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let offsets = parse(bytes);
    for offset in [
        offsets.clock_gettime,
        offsets.clock_getres,
        offsets.gettimeofday,
        offsets.time,
        offsets.getcpu,
        offsets.getrandom,
    ]
    .into_iter()
    .flatten()
    {
        assert!(offset < bytes.len());
    }
    if let Ok(image) = Image::new(bytes) {
        for symbol in image.symbols() {
            assert!(symbol.offset < bytes.len());
        }
        let _ = image.find(c"__kernel_getrandom", c"LINUX_2.6.39");
    }
});
