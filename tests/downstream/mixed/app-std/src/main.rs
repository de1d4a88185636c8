//! An ordinary program that uses the crate beside std.

use std::io::{Read as _, Write as _};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (reader, writer) = barecall::io::pipe2(barecall::io::PipeFlags::CLOEXEC)?;
    let (mut reader, mut writer) = (std::fs::File::from(reader), std::fs::File::from(writer));
    writer.write_all(b"ok\n")?;
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    print!("{text}");
    Ok(())
}

#[test]
fn a_std_program_has_its_tests_as_ever() {
    assert_eq!(barecall::nr::MEMFD_CREATE.name(), Some("memfd_create"));
}
