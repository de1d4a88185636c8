//! An ordinary program that uses the crate beside std, without its feature.

use barecall::io::{self, PipeFlags};

fn main() {
    let (reader, writer) = io::pipe2(PipeFlags::CLOEXEC).expect("a pipe");
    io::write_all(&writer, b"ok\n").expect("room in the pipe");
    let mut buf = [0; 16];
    let n = io::read(&reader, &mut buf).expect("what was written");
    print!("{}", String::from_utf8_lossy(&buf[..n]));
}

#[test]
fn a_std_program_has_its_tests_as_ever() {
    assert_eq!(barecall::nr::MEMFD_CREATE.name(), Some("memfd_create"));
}
