//! What the crate says: its constants and its kernel structures, from its
//! expanded source.

use std::collections::HashMap;
use syn::visit::{self, Visit};

/// A constant of the crate.
pub struct Constant {
    /// Modules, type and functions around it.
    pub scope: Vec<String>,
    pub name: String,
    pub aliases: Vec<String>,
    ty: syn::Type,
    expr: syn::Expr,
}

impl Constant {
    pub fn path(&self) -> String {
        format!("{}::{}", self.scope.join("::"), self.name)
    }

    /// What C calls it: its aliases, else its own name.
    pub fn c_names(&self) -> Vec<&str> {
        if self.aliases.is_empty() {
            vec![&self.name]
        } else {
            self.aliases.iter().map(String::as_str).collect()
        }
    }
}

/// A `#[repr(C)]` structure or union of the crate.
pub struct Structure {
    pub scope: Vec<String>,
    pub name: String,
    aliases: Vec<String>,
    repr_c: bool,
    packed: bool,
    align: usize,
    union: bool,
    fields: Vec<(String, syn::Type)>,
}

impl Structure {
    pub fn path(&self) -> String {
        format!("{}::{}", self.scope.join("::"), self.name)
    }

    pub fn is_repr_c(&self) -> bool {
        self.repr_c
    }

    /// `struct iovec`, `siginfo_t`.
    pub fn c_names(&self) -> &[String] {
        &self.aliases
    }
}

/// Where a structure has what.
pub struct Layout {
    pub size: usize,
    pub align: usize,
    /// Name, offset, size.
    pub fields: Vec<(String, usize, usize)>,
}

#[derive(Default)]
pub struct Source {
    pub constants: Vec<Constant>,
    pub structures: Vec<Structure>,
    /// The discriminant's type of `#[repr(u8)]` enums and the like.
    enums: HashMap<String, syn::Type>,
}

impl Source {
    pub fn parse(expanded: &str) -> Self {
        let file = syn::parse_file(expanded).expect("syn reads what rustc expanded");
        let mut collect = Collect::default();
        collect.visit_file(&file);
        collect.source
    }

    /// The value of a constant and the size of its type in bytes, or `None` if
    /// it is not an integer, or not one that can be seen here.
    pub fn value(&self, constant: &Constant) -> Option<(i128, usize)> {
        let size = self.integer(&constant.ty, &constant.scope)?;
        let value = self.eval(&constant.expr, &constant.scope)?;
        Some((value, size))
    }

    /// Whether a constant is an integer, or a type around one.
    pub fn is_integer(&self, constant: &Constant) -> bool {
        self.integer(&constant.ty, &constant.scope).is_some()
    }

    /// Whether a constant has no C name of its own and is made of others of the
    /// crate, which are compared, or of sizes: `1 << bit::_UFFDIO_COPY`.
    pub fn is_derived(&self, constant: &Constant) -> bool {
        struct Uses<'a>(&'a Source, &'a Constant, bool);
        impl<'ast> Visit<'ast> for Uses<'_> {
            fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
                let last = path.path.segments.last();
                self.2 |= last.is_some_and(|segment| segment.ident == "size_of")
                    || self.0.look_up(&path.path, &self.1.scope).is_some();
            }
        }
        let mut uses = Uses(self, constant, false);
        uses.visit_expr(&constant.expr);
        constant.aliases.is_empty() && uses.2
    }

    /// The size of the integer that a type is, if it is one.
    fn integer(&self, ty: &syn::Type, scope: &[String]) -> Option<usize> {
        let name = last_segment(ty)?;
        if let Some(size) = integer_size(&name) {
            return Some(size);
        }
        let name = if name == "Self" {
            scope.last()?.clone()
        } else {
            name
        };
        // A newtype: what it holds is not its own constants' business.
        let mut fields = self.structures.iter().filter(|s| s.name == name);
        match fields.next()?.fields.as_slice() {
            [(field, ty)] if field == "0" => match last_segment(ty)?.as_str() {
                "NonZeroIsize" | "NonZeroUsize" => Some(8),
                "NonZeroI32" | "NonZeroU32" => Some(4),
                _ => self.integer(ty, scope),
            },
            _ => None,
        }
    }

    fn eval(&self, expr: &syn::Expr, scope: &[String]) -> Option<i128> {
        match expr {
            syn::Expr::Lit(lit) => match &lit.lit {
                syn::Lit::Int(int) => int.base10_parse::<u128>().ok().map(|value| value as i128),
                syn::Lit::Byte(byte) => Some(byte.value().into()),
                _ => None,
            },
            syn::Expr::Paren(inner) => self.eval(&inner.expr, scope),
            syn::Expr::Group(inner) => self.eval(&inner.expr, scope),
            syn::Expr::Unary(unary) => {
                let value = self.eval(&unary.expr, scope)?;
                match unary.op {
                    syn::UnOp::Neg(_) => Some(-value),
                    syn::UnOp::Not(_) => Some(!value),
                    _ => None,
                }
            }
            syn::Expr::Binary(binary) => {
                let left = self.eval(&binary.left, scope)?;
                let right = self.eval(&binary.right, scope)?;
                Some(match binary.op {
                    syn::BinOp::Add(_) => left + right,
                    syn::BinOp::Sub(_) => left - right,
                    syn::BinOp::Mul(_) => left * right,
                    syn::BinOp::Div(_) => left.checked_div(right)?,
                    syn::BinOp::BitOr(_) => left | right,
                    syn::BinOp::BitAnd(_) => left & right,
                    syn::BinOp::BitXor(_) => left ^ right,
                    syn::BinOp::Shl(_) => left << right,
                    syn::BinOp::Shr(_) => left >> right,
                    _ => return None,
                })
            }
            syn::Expr::Cast(cast) => {
                let value = self.eval(&cast.expr, scope)?;
                let size = integer_size(&last_segment(&cast.ty)?)?;
                Some(match last_segment(&cast.ty)?.starts_with('i') {
                    true => value << (128 - 8 * size) >> (128 - 8 * size),
                    false => value & ((1 << (8 * size)) - 1),
                })
            }
            syn::Expr::Call(call) if call.args.is_empty() => {
                let syn::Expr::Path(path) = &*call.func else {
                    return None;
                };
                let segment = path.path.segments.last().filter(|s| s.ident == "size_of")?;
                let (size, _) = self.size(first_argument(segment)?, scope)?;
                i128::try_from(size).ok()
            }
            // A constructor: `Self(1)`, `Self::from_bits_retain(1)`.
            syn::Expr::Call(call) if call.args.len() == 1 => self.eval(&call.args[0], scope),
            syn::Expr::MethodCall(call) => {
                let value = self.eval(&call.receiver, scope)?;
                match call.method.to_string().as_str() {
                    "bits" | "as_raw" | "raw" | "get" => Some(value),
                    "union" => Some(value | self.eval(call.args.first()?, scope)?),
                    _ => None,
                }
            }
            syn::Expr::Field(field) => self.eval(&field.base, scope),
            syn::Expr::Path(path) => {
                let names: Vec<String> = path
                    .path
                    .segments
                    .iter()
                    .map(|s| s.ident.to_string())
                    .collect();
                if let [ty, max] = names.as_slice()
                    && max == "MAX"
                    && let Some(size) = integer_size(ty)
                {
                    return Some((1 << (8 * size - usize::from(ty.starts_with('i')))) - 1);
                }
                let constant = self.look_up(&path.path, scope)?;
                self.eval(&constant.expr, &constant.scope)
            }
            _ => None,
        }
    }

    /// The constant that a path means, by its last two names: the nearest one
    /// around `scope`, if there are several.
    fn look_up(&self, path: &syn::Path, scope: &[String]) -> Option<&Constant> {
        let mut names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        let name = names.pop()?;
        let inside = names
            .pop()
            .filter(|name| name != "super" && name != "crate" && name != "self");
        let inside = match inside.as_deref() {
            Some("Self") => scope.last().cloned(),
            // `crate::arch` re-exports the one of this processor.
            Some("arch") => Some("imp".into()),
            _ => inside,
        };
        let common = |constant: &&Constant| {
            constant
                .scope
                .iter()
                .zip(scope)
                .take_while(|(a, b)| a == b)
                .count()
        };
        self.constants
            .iter()
            .filter(|constant| constant.name == name)
            .filter(|constant| inside.is_none() || constant.scope.last() == inside.as_ref())
            .max_by_key(common)
    }

    /// The layout of a structure by the rules of `repr(C)`.
    pub fn layout(&self, structure: &Structure) -> Result<Layout, String> {
        let mut layout = Layout {
            size: 0,
            align: structure.align,
            fields: Vec::new(),
        };
        for (name, ty) in &structure.fields {
            let (size, align) = self
                .size(ty, &structure.scope)
                .ok_or_else(|| format!("the size of field `{name}` is not known"))?;
            let align = if structure.packed { 1 } else { align };
            let offset = match structure.union {
                true => 0,
                false => layout.size.next_multiple_of(align),
            };
            layout.fields.push((name.clone(), offset, size));
            layout.size = layout.size.max(offset + size);
            layout.align = layout.align.max(align);
        }
        layout.size = layout.size.next_multiple_of(layout.align);
        Ok(layout)
    }

    /// Size and alignment of a type.
    fn size(&self, ty: &syn::Type, scope: &[String]) -> Option<(usize, usize)> {
        match ty {
            syn::Type::Ptr(_) | syn::Type::Reference(_) | syn::Type::BareFn(_) => Some((8, 8)),
            syn::Type::Paren(inner) => self.size(&inner.elem, scope),
            syn::Type::Group(inner) => self.size(&inner.elem, scope),
            syn::Type::Tuple(tuple) if tuple.elems.is_empty() => Some((0, 1)),
            syn::Type::Array(array) => {
                let (size, align) = self.size(&array.elem, scope)?;
                let len = usize::try_from(self.eval(&array.len, scope)?).ok()?;
                Some((size * len, align))
            }
            syn::Type::Path(path) => {
                let segment = path.path.segments.last()?;
                let name = segment.ident.to_string();
                if let Some(size) = integer_size(&name) {
                    return Some((size, size));
                }
                match name.as_str() {
                    "PhantomData" => return Some((0, 1)),
                    "Option" | "MaybeUninit" | "ManuallyDrop" | "Cell" | "UnsafeCell"
                    | "Wrapping" => {
                        return self.size(first_argument(segment)?, scope);
                    }
                    "NonNull" | "NonZeroUsize" | "NonZeroIsize" | "NonZeroU64" | "AtomicU64"
                    | "AtomicUsize" => return Some((8, 8)),
                    "NonZeroU32" | "NonZeroI32" | "AtomicU32" | "AtomicI32" => return Some((4, 4)),
                    "BorrowedFd" | "OwnedFd" => return Some((4, 4)),
                    _ => {}
                }
                if let Some(primitive) = self.enums.get(&name) {
                    return self.size(primitive, scope);
                }
                let module = path.path.segments.iter().rev().nth(1);
                let common = |s: &&Structure| {
                    let is_named = module.is_some_and(|m| s.scope.iter().any(|s| m.ident == s));
                    let same = s.scope.iter().zip(scope).take_while(|(a, b)| a == b);
                    (is_named, same.count())
                };
                let inner = self
                    .structures
                    .iter()
                    .filter(|s| s.name == name)
                    .max_by_key(common)?;
                let layout = self.layout(inner).ok()?;
                Some((layout.size, layout.align))
            }
            _ => None,
        }
    }
}

fn integer_size(name: &str) -> Option<usize> {
    Some(match name {
        "u8" | "i8" | "bool" | "c_char" | "c_uchar" | "c_schar" => 1,
        "u16" | "i16" | "c_short" | "c_ushort" => 2,
        "u32" | "i32" | "c_int" | "c_uint" | "RawFd" => 4,
        "u64" | "i64" | "usize" | "isize" | "c_long" | "c_ulong" => 8,
        _ => return None,
    })
}

fn last_segment(ty: &syn::Type) -> Option<String> {
    match ty {
        syn::Type::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
        syn::Type::Paren(inner) => last_segment(&inner.elem),
        syn::Type::Group(inner) => last_segment(&inner.elem),
        _ => None,
    }
}

fn first_argument(segment: &syn::PathSegment) -> Option<&syn::Type> {
    match &segment.arguments {
        syn::PathArguments::AngleBracketed(arguments) => {
            arguments.args.iter().find_map(|argument| match argument {
                syn::GenericArgument::Type(ty) => Some(ty),
                _ => None,
            })
        }
        _ => None,
    }
}

/// The values of `#[doc(alias = "...")]`.
fn aliases(attributes: &[syn::Attribute]) -> Vec<String> {
    let mut aliases = Vec::new();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("doc")) {
        if matches!(attribute.meta, syn::Meta::List(_)) {
            // `#[doc(hidden)]` is none, and no error.
            let _ = attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("alias") {
                    aliases.push(meta.value()?.parse::<syn::LitStr>()?.value());
                }
                Ok(())
            });
        }
    }
    aliases
}

/// Whether an alias is one for a constant (`MFD_CLOEXEC`, `__NR_read`), not for
/// a function or a structure.
fn is_constant_name(name: &str) -> bool {
    name.contains(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[derive(Default)]
struct Collect {
    scope: Vec<String>,
    source: Source,
}

impl Collect {
    fn within(&mut self, name: String, walk: impl FnOnce(&mut Self)) {
        self.scope.push(name);
        walk(self);
        self.scope.pop();
    }

    fn constant(
        &mut self,
        attributes: &[syn::Attribute],
        name: &syn::Ident,
        ty: &syn::Type,
        expr: &syn::Expr,
    ) {
        let mut aliases = aliases(attributes);
        aliases.retain(|alias| is_constant_name(alias));
        self.source.constants.push(Constant {
            scope: self.scope.clone(),
            name: name.to_string(),
            aliases,
            ty: ty.clone(),
            expr: expr.clone(),
        });
    }

    fn structure(
        &mut self,
        attributes: &[syn::Attribute],
        name: &syn::Ident,
        union: bool,
        fields: Vec<(String, syn::Type)>,
    ) {
        let mut structure = Structure {
            scope: self.scope.clone(),
            name: name.to_string(),
            aliases: aliases(attributes),
            repr_c: false,
            packed: false,
            align: 1,
            union,
            fields,
        };
        for attribute in attributes.iter().filter(|a| a.path().is_ident("repr")) {
            let read = attribute.parse_nested_meta(|meta| {
                structure.repr_c |= meta.path.is_ident("C");
                structure.packed |= meta.path.is_ident("packed");
                if meta.path.is_ident("align") {
                    let number;
                    syn::parenthesized!(number in meta.input);
                    structure.align = number.parse::<syn::LitInt>()?.base10_parse()?;
                }
                Ok(())
            });
            read.expect("a repr that this test knows");
        }
        self.source.structures.push(structure);
    }
}

fn named(fields: &syn::Fields) -> Vec<(String, syn::Type)> {
    fields
        .iter()
        .enumerate()
        .map(|(i, field)| {
            let name = field
                .ident
                .as_ref()
                .map_or(i.to_string(), syn::Ident::to_string);
            (name.trim_start_matches("r#").to_string(), field.ty.clone())
        })
        .collect()
}

impl<'ast> Visit<'ast> for Collect {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.within(item.ident.to_string(), |this| {
            visit::visit_item_mod(this, item)
        });
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let name = last_segment(&item.self_ty).unwrap_or_default();
        // Traits' constants are not the kernel's.
        if item.trait_.is_none() {
            self.within(name, |this| visit::visit_item_impl(this, item));
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within(item.sig.ident.to_string(), |this| {
            visit::visit_item_fn(this, item)
        });
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        if item.ident != "_" {
            self.constant(&item.attrs, &item.ident, &item.ty, &item.expr);
        }
        visit::visit_item_const(self, item);
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.constant(&item.attrs, &item.ident, &item.ty, &item.expr);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.structure(&item.attrs, &item.ident, false, named(&item.fields));
    }

    fn visit_item_union(&mut self, item: &'ast syn::ItemUnion) {
        let fields = syn::Fields::Named(item.fields.clone());
        self.structure(&item.attrs, &item.ident, true, named(&fields));
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        for attribute in item.attrs.iter().filter(|a| a.path().is_ident("repr")) {
            if let Ok(ty) = attribute.parse_args::<syn::Type>() {
                self.source.enums.insert(item.ident.to_string(), ty);
            }
        }
    }
}
