//! The vDSO as bytes: an ELF shared object, and where its functions are.
//!
//! Everything here reads through [`at`], which answers `None` outside the
//! bytes that were given. No table is believed: counts are limited by the
//! bytes that are there, and every loop goes forward.
//!
//! The layout is that of `<elf.h>` (Elf64, little-endian). Section headers are
//! not looked at: they are not loaded, and may be stripped.

use crate::arch;
use core::ffi::CStr;
use core::fmt;

/// `N` bytes at an offset.
fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    at(bytes, offset).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    at(bytes, offset).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    at(bytes, offset).map(u64::from_le_bytes)
}

/// The `index`th of things of `size` bytes that begin at `start`.
fn nth(start: usize, index: usize, size: usize) -> Option<usize> {
    start.checked_add(index.checked_mul(size)?)
}

// Elf64_Ehdr, and what of it we insist on.
const EHDR: usize = 64;
const ELF64_LITTLE_ENDIAN: [u8; 6] = *b"\x7fELF\x02\x01";
// Elf64_Phdr.
const PHDR: usize = 56;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
// Elf64_Dyn.
const DYN: usize = 16;
const DT_NULL: u64 = 0;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_STRSZ: u64 = 10;
const DT_SYMENT: u64 = 11;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
const DT_VERSYM: u64 = 0x6fff_fff0;
const DT_VERDEF: u64 = 0x6fff_fffc;
// Elf64_Sym.
const SYM: usize = 24;
const SHN_UNDEF: u16 = 0;
const STB_GLOBAL: u8 = 1;
const STB_WEAK: u8 = 2;
const STT_NOTYPE: u8 = 0;
const STT_FUNC: u8 = 2;
// Elf64_Verdef.
const VERDEF: usize = 20;
const VER_FLG_BASE: u16 = 1;

/// Why an [`Image`] is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BadImage {
    /// No ELF, or not a 64-bit little-endian one, or cut off in its headers.
    NotElf,
    /// No `PT_LOAD`: nothing of it is mapped.
    NoLoad,
    /// No `PT_DYNAMIC`: nothing says where the tables are.
    NoDynamic,
    /// No symbol or string table, or it is not in the bytes.
    NoSymbols,
    /// No hash table of either style, or it is damaged: nothing says how many
    /// symbols there are.
    NoHash,
}

impl fmt::Display for BadImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotElf => "not a 64-bit little-endian ELF image",
            Self::NoLoad => "no loaded segment",
            Self::NoDynamic => "no dynamic section",
            Self::NoSymbols => "no symbol table",
            Self::NoHash => "no hash table",
        })
    }
}

impl core::error::Error for BadImage {}

/// The two program headers that matter.
struct Headers {
    /// What `p_vaddr` exceeds `p_offset` by: 0, but for an image that was
    /// pre-linked to a high address (old kernels, WSL1).
    bias: u64,
    /// The end of the loaded segment, as an offset.
    end: u64,
    /// Where the dynamic section is, as an offset, and its size.
    dynamic: Option<(u64, u64)>,
}

impl Headers {
    fn read(bytes: &[u8]) -> Result<Self, BadImage> {
        if at(bytes, 0) != Some(ELF64_LITTLE_ENDIAN) || bytes.len() < EHDR {
            return Err(BadImage::NotElf);
        }
        let (Some(start), Some(size), Some(count)) =
            (u64_at(bytes, 32), u16_at(bytes, 54), u16_at(bytes, 56))
        else {
            return Err(BadImage::NotElf);
        };
        if usize::from(size) != PHDR {
            return Err(BadImage::NotElf);
        }

        let (mut load, mut dynamic) = (None, None);
        for index in 0..usize::from(count) {
            let header = nth(start as usize, index, PHDR)
                .and_then(|offset| at::<PHDR>(bytes, offset))
                .ok_or(BadImage::NotElf)?;
            let field = |offset| u64_at(&header, offset).unwrap_or(0);
            let (p_offset, p_vaddr, p_filesz) = (field(8), field(16), field(32));
            match u32_at(&header, 0) {
                // The kernel maps one segment, from the beginning of the file.
                Some(PT_LOAD) if load.is_none() => {
                    let end = p_offset.checked_add(p_filesz).ok_or(BadImage::NotElf)?;
                    load = Some((p_vaddr.wrapping_sub(p_offset), end));
                }
                Some(PT_DYNAMIC) if dynamic.is_none() => dynamic = Some((p_offset, p_filesz)),
                _ => {}
            }
        }
        let (bias, end) = load.ok_or(BadImage::NoLoad)?;
        Ok(Self { bias, end, dynamic })
    }
}

/// How many bytes of the image are loaded, by its first bytes.
pub(super) fn loaded_len(head: &[u8]) -> Option<usize> {
    Headers::read(head).ok().map(|headers| headers.end as usize)
}

/// A vDSO image: the bytes that the kernel maps into every process, or those
/// of a `vdso64.so` file.
///
/// Safe for any bytes: what is not there is `None` or [`BadImage`], and
/// nothing outside of them is read. Both styles of hash table are known (the
/// aarch64 image has only the GNU one since Linux 6.11), images that were
/// pre-linked to an address, and images whose dynamic section a loader has
/// relocated in place.
///
/// ```no_run
/// # // The file is where distributions put it, if they do.
/// let file = std::fs::read("/lib/modules/7.3.4/vdso/vdso64.so")?;
/// let image = barecall::vdso::Image::new(&file)?;
/// for symbol in image.symbols() {
///     println!("{:?} {:?} at {:#x}", symbol.name, symbol.version, symbol.offset);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Image<'a> {
    machine: u16,
    bias: u64,
    /// The loaded part.
    loaded: &'a [u8],
    strings: &'a [u8],
    /// Whole symbols only.
    symbols: &'a [u8],
    /// The version index of each symbol, and where the versions are defined.
    versions: Option<(&'a [u8], usize)>,
}

impl<'a> Image<'a> {
    /// Finds the tables of an image.
    ///
    /// # Errors
    ///
    /// See [`BadImage`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, BadImage> {
        let headers = Headers::read(bytes)?;
        let end = usize::try_from(headers.end).unwrap_or(usize::MAX);
        let loaded = bytes.get(..end).unwrap_or(bytes);
        let machine = u16_at(bytes, 18).ok_or(BadImage::NotElf)?;

        // An address in the dynamic section is one of the ELF file, or, after
        // a loader has been there, one of this process. The two do not overlap
        // in practice, and a wrong guess is only an offset that is not there.
        let place = |address: u64| {
            let mapped = loaded.as_ptr().addr() as u64;
            [headers.bias, mapped]
                .into_iter()
                .map(|base| address.wrapping_sub(base) as usize)
                .find(|&offset| offset < loaded.len())
        };

        let (start, size) = headers.dynamic.ok_or(BadImage::NoDynamic)?;
        let dynamic = loaded.get(start as usize..).ok_or(BadImage::NoDynamic)?;
        let dynamic = dynamic.get(..size as usize).unwrap_or(dynamic);

        let [
            mut strtab,
            mut symtab,
            mut versym,
            mut verdef,
            mut hash,
            mut gnu_hash,
        ] = [None; 6];
        let [mut strsz, mut syment] = [None; 2];
        for entry in dynamic.chunks_exact(DYN) {
            let (Some(tag), value) = (u64_at(entry, 0), u64_at(entry, 8)) else {
                break;
            };
            match tag {
                DT_NULL => break,
                DT_STRTAB => strtab = value.and_then(place),
                DT_STRSZ => strsz = value,
                DT_SYMTAB => symtab = value.and_then(place),
                DT_SYMENT => syment = value,
                DT_HASH => hash = value.and_then(place),
                DT_GNU_HASH => gnu_hash = value.and_then(place),
                DT_VERSYM => versym = value.and_then(place),
                DT_VERDEF => verdef = value.and_then(place),
                _ => {}
            }
        }

        let strings = strtab
            .and_then(|start| loaded.get(start..))
            .ok_or(BadImage::NoSymbols)?;
        let strings = strsz
            .and_then(|size| strings.get(..size as usize))
            .unwrap_or(strings);
        let symbols = symtab
            .and_then(|start| loaded.get(start..))
            .filter(|_| syment.is_none_or(|size| size == SYM as u64))
            .ok_or(BadImage::NoSymbols)?;

        let count = hash
            .and_then(|table| u32_at(loaded, table.checked_add(4)?))
            .map(|count| count as usize)
            .or_else(|| gnu_hash.and_then(|table| gnu_count(loaded, table)))
            .ok_or(BadImage::NoHash)?
            .min(symbols.len() / SYM);
        let symbols = symbols.get(..count.saturating_mul(SYM)).unwrap_or_default();

        let versions = match (versym, verdef) {
            (Some(indices), Some(definitions)) => {
                loaded.get(indices..).map(|indices| (indices, definitions))
            }
            _ => None,
        };
        Ok(Self {
            machine,
            bias: headers.bias,
            loaded,
            strings,
            symbols,
            versions,
        })
    }

    /// `e_machine`: 62 (`EM_X86_64`), 183 (`EM_AARCH64`) or another.
    #[inline]
    pub const fn machine(&self) -> u16 {
        self.machine
    }

    /// The functions that the image defines, in the order of its table.
    #[inline]
    pub const fn symbols(&self) -> Symbols<'a> {
        Symbols {
            image: *self,
            next: 0,
        }
    }

    /// The offset of a function, by name and version.
    ///
    /// An image without versions is believed, as every libc does.
    ///
    /// `None`: no such function, or another version, or the symbol is null.
    pub fn find(&self, name: &CStr, version: &CStr) -> Option<usize> {
        self.symbols()
            .find(|symbol| {
                symbol.name == name && symbol.version.is_none_or(|found| found == version)
            })
            .map(|symbol| symbol.offset)
    }

    fn string(&self, offset: u32) -> Option<&'a CStr> {
        let rest = self.strings.get(offset as usize..)?;
        // No kernel's name is that long, and a table without an end would be
        // searched to its end for every symbol.
        CStr::from_bytes_until_nul(rest.get(..256).unwrap_or(rest)).ok()
    }

    /// The name of a version, by its index.
    fn version(&self, definitions: usize, index: u16) -> Option<&'a CStr> {
        let mut definition = definitions;
        // Kernels have two. A long chain would be walked for every symbol.
        for _ in 0..64 {
            let fields = at::<VERDEF>(self.loaded, definition)?;
            let vd_flags = u16_at(&fields, 2)?;
            let vd_ndx = u16_at(&fields, 4)?;
            if vd_flags & VER_FLG_BASE == 0 && vd_ndx & 0x7fff == index {
                let aux = definition.checked_add(u32_at(&fields, 12)? as usize)?;
                return self.string(u32_at(self.loaded, aux)?);
            }
            match u32_at(&fields, 16)? as usize {
                // The end; or one that overlaps this one, which no linker makes.
                step if step < VERDEF => return None,
                step => definition = definition.checked_add(step)?,
            }
        }
        None
    }

    fn symbol(&self, index: usize) -> Option<Symbol<'a>> {
        let fields = at::<SYM>(self.symbols, nth(0, index, SYM)?)?;
        let st_info = *fields.get(4)?;
        let st_shndx = u16_at(&fields, 6)?;
        let st_value = u64_at(&fields, 8)?;
        let st_size = u64_at(&fields, 16)?;
        if st_shndx == SHN_UNDEF
            || st_value == 0
            || !matches!(st_info >> 4, STB_GLOBAL | STB_WEAK)
            || !matches!(st_info & 15, STT_NOTYPE | STT_FUNC)
        {
            return None;
        }
        let offset = st_value.wrapping_sub(self.bias) as usize;
        if offset >= self.loaded.len() {
            return None;
        }
        // A symbol whose version cannot be told has the empty one, which is
        // nobody's.
        let version = self.versions.map(|(indices, definitions)| {
            nth(0, index, 2)
                .and_then(|place| u16_at(indices, place))
                .and_then(|index| self.version(definitions, index & 0x7fff))
                .unwrap_or_default()
        });
        Some(Symbol {
            name: self.string(u32_at(&fields, 0)?)?,
            version,
            offset,
            size: st_size,
        })
    }
}

impl fmt::Debug for Image<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.symbols()).finish()
    }
}

/// How many symbols a GNU hash table covers: the highest that a bucket names,
/// and on to the end of its chain.
fn gnu_count(bytes: &[u8], table: usize) -> Option<usize> {
    let word = |index: usize| u32_at(bytes, nth(table, index, 4)?).map(|word| word as usize);
    let (buckets, first, bloom) = (word(0)?, word(1)?, word(2)?);
    // Four words, then the filter's 64-bit ones, then the buckets, then the
    // chains, one word a symbol, from the first one that is hashed.
    let buckets_at = nth(4, bloom, 2)?;
    let chains_at = buckets_at.checked_add(buckets)?;
    let mut last = 0;
    for bucket in 0..buckets {
        last = last.max(word(buckets_at.checked_add(bucket)?)?);
    }
    if last < first {
        // Nothing is hashed.
        return Some(first);
    }
    loop {
        let chain = word(chains_at.checked_add(last.checked_sub(first)?)?)?;
        last = last.checked_add(1)?;
        if chain & 1 == 1 {
            return Some(last);
        }
    }
}

/// A function of an [`Image`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Symbol<'a> {
    /// Its name.
    pub name: &'a CStr,
    /// Its version; `None` in an image that has none, empty when it is damaged.
    pub version: Option<&'a CStr>,
    /// Where it begins, from the beginning of the image on. Always inside.
    pub offset: usize,
    /// How many bytes it has, as the table says.
    pub size: u64,
}

/// The functions of an [`Image`].
#[derive(Clone, Debug)]
pub struct Symbols<'a> {
    image: Image<'a>,
    next: usize,
}

impl<'a> Iterator for Symbols<'a> {
    type Item = Symbol<'a>;

    fn next(&mut self) -> Option<Symbol<'a>> {
        let count = self.image.symbols.len() / SYM;
        while self.next < count {
            let index = self.next;
            self.next = index.saturating_add(1);
            if let Some(symbol) = self.image.symbol(index) {
                return Some(symbol);
            }
        }
        None
    }
}

/// Where the functions are in an image, as offsets from its beginning, all
/// inside. `None`: this kernel, or this architecture, does not have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Offsets {
    /// `__vdso_clock_gettime`, on aarch64 `__kernel_clock_gettime`.
    pub clock_gettime: Option<usize>,
    /// `__vdso_clock_getres`, on aarch64 `__kernel_clock_getres`.
    pub clock_getres: Option<usize>,
    /// `__vdso_gettimeofday`, on aarch64 `__kernel_gettimeofday`.
    pub gettimeofday: Option<usize>,
    /// `__vdso_time`; aarch64 has none.
    pub time: Option<usize>,
    /// `__vdso_getcpu`; aarch64 has none.
    pub getcpu: Option<usize>,
    /// `__vdso_getrandom` (since Linux 6.11), on aarch64 `__kernel_getrandom`
    /// (since 6.12).
    pub getrandom: Option<usize>,
}

/// Finds the functions that this crate calls in an image of this architecture.
///
/// Safe and total: any bytes have an answer. What is not a vDSO image of this
/// architecture has no functions; [`Image::new`] says why.
///
/// ```
/// use barecall::vdso::{Offsets, parse};
///
/// assert_eq!(parse(b"\x7fELF, but no more"), Offsets::default());
/// ```
pub fn parse(bytes: &[u8]) -> Offsets {
    let Ok(image) = Image::new(bytes) else {
        return Offsets::default();
    };
    if image.machine() != arch::EM_MACHINE {
        return Offsets::default();
    }
    let find = |name: Option<&CStr>| image.find(name?, arch::VDSO_VERSION);
    Offsets {
        clock_gettime: find(arch::VDSO_CLOCK_GETTIME),
        clock_getres: find(arch::VDSO_CLOCK_GETRES),
        gettimeofday: find(arch::VDSO_GETTIMEOFDAY),
        time: find(arch::VDSO_TIME),
        getcpu: find(arch::VDSO_GETCPU),
        getrandom: find(arch::VDSO_GETRANDOM),
    }
}
